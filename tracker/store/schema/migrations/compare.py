"""Compares a database's schema with the tables of this version.

CHECK constraints, the conditions of partial indexes and the order of columns are not compared, because alembic does not
see them. tests/store/test_migrations.py compares them.
"""

from __future__ import annotations

from typing import Any, Final

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection

from tracker.store.schema.tables import inbox, metadata

#: for alembic's MigrationContext, here and where a migration is written
OPTIONS: Final[dict[str, Any]] = {
    "target_metadata": metadata,
    "compare_type": True,
    "compare_server_default": True,
}


def differences(connection: Connection, *, extras: bool = True) -> list[str]:
    """Return what would have to be done to the schema, a short text each, such as `add_column calls.reason`.

    extras: also return what the database has and the tables do not.
    """
    is_sqlite = connection.dialect.name == "sqlite"

    def is_compared(item: Any, _name: object, kind: str, reflected: bool, compared: object) -> bool:
        if is_sqlite and item is inbox:  # it has a file of its own, which inbox_file.py creates
            return False
        return extras or not (reflected and compared is None)

    options = OPTIONS | {"include_object": is_compared}
    found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return [_describe(entry) for entry in found]


def _describe(entry: Any) -> str:
    if isinstance(entry, list):  # the changes of one column
        return ", ".join(_describe(change) for change in entry)
    operation, *rest = entry
    if operation.endswith("_column"):
        return f"{operation} {rest[1]}.{rest[2].name}"
    if operation.startswith("modify_"):
        return f"{operation} {rest[1]}.{rest[2]}"
    table = getattr(rest[0], "table", None)
    name = getattr(rest[0], "name", rest[0])
    return f"{operation} {name}" if table is None else f"{operation} {table.name}: {name}"
