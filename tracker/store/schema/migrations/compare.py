"""What is different between a database's schema and the tables of this version.

CHECK constraints, the conditions of partial indexes and the order of columns are not seen here, because alembic does
not see them; tests/store/test_schema.py does.
"""

from __future__ import annotations

from typing import Any, Final

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection

from tracker.store.schema.tables import metadata

#: for alembic's MigrationContext, here and where a migration is written
OPTIONS: Final[dict[str, Any]] = {
    "target_metadata": metadata,
    "compare_type": True,
    "compare_server_default": True,
}


def differences(connection: Connection, *, extras: bool = True) -> list[str]:
    """What would have to be done to the schema, one short text for each thing: `add_column calls.reason`.

    extras: also name what the database has and the tables do not.
    """
    options = OPTIONS | ({} if extras else {"include_object": _is_wanted})
    found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return [_described(entry) for entry in found]


def _is_wanted(_object: object, _name: object, _kind: object, reflected: bool, compared: object) -> bool:
    return not (reflected and compared is None)


def _described(entry: Any) -> str:
    if isinstance(entry, list):  # the changes of one column
        return ", ".join(_described(change) for change in entry)
    operation, *rest = entry
    if operation.endswith("_column"):
        return f"{operation} {rest[1]}.{rest[2].name}"
    if operation.startswith("modify_"):
        return f"{operation} {rest[1]}.{rest[2]}"
    table = getattr(rest[0], "table", None)
    name = getattr(rest[0], "name", rest[0])
    return f"{operation} {name}" if table is None else f"{operation} {table.name}: {name}"
