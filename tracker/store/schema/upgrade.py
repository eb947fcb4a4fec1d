"""The schema of the database: whether it fits this version, how it comes into being, and how it is brought up to date.

Its revision is a number of four digits, the name of the last migration that was run; the files in
migrations/versions/ are all that this version knows. alembic keeps the number in `alembic_version`; it is read here
without alembic, which takes longer to import than most commands take to run.
"""

from __future__ import annotations

import io
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.errors import SchemaMismatch
from tracker.store.engine.database import Database
from tracker.store.inbox import inbox_file
from tracker.store.schema import compatibility, migration_lock

if TYPE_CHECKING:
    from alembic.config import Config

_TABLES: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    # not those that belong to an extension
    "postgresql": "SELECT relname FROM pg_class c WHERE relkind IN ('r', 'p')"
    " AND relnamespace = current_schema()::regnamespace"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
}

_EMPTY: Final = "The database is empty; run `tracker db upgrade`"
_MISSING: Final = (
    "The database does not exist yet; run `tracker db upgrade`, or `tracker serve`, which makes it"
)

#: schemas of versions that were never released; their databases cannot be brought up to date
_UNRELEASED: Final = ("0001", "0002", "0003")

#: alembic keeps its state in module globals while it runs
_alembic: Final = threading.Lock()


def prepare(database: Database, *, create: bool) -> None:
    """Make sure that the schema is one that this version can work with; every program asks for it at its start.

    A newer one is, where the migrations that made it say so. create: make the schema in an empty database; several
    processes may do so at once. Raises SchemaMismatch, which says what to do, and StorageUnavailable.
    """
    found = current(database)
    if found is None and create:
        upgrade(database)
    elif found is None:
        raise SchemaMismatch(_nothing_in(database))
    elif found != head() and not _is_able(database, found):
        raise SchemaMismatch(database.read(lambda c: _mismatch(c, found)))
    if create:
        inbox_file.create(database)
    inbox_file.check(database)


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema up to date, in one transaction; returns the revision before (None: it was empty) and after.

    Does nothing where it is up to date, or newer and this version can work with it. Processes that use the database
    meanwhile may meet us in a deadlock; then all is begun again. Raises SchemaMismatch where the database is not
    tracker's or too new for this version, ConfigurationError where the database's user may not make tables, and
    StorageUnavailable.
    """
    with _alembic:
        revisions_before_and_after = migration_lock.run_exclusively(database, _upgrade)
    inbox_file.create(database)
    return revisions_before_and_after


def _upgrade(connection: Connection) -> tuple[str | None, str]:
    before = _current(connection)
    if before is not None and _is_newer(before) and _can_work(connection):
        return before, before
    if before is not None and before not in revisions():
        raise SchemaMismatch(_mismatch(connection, before))
    if before != head():
        _run(connection)
    return before, head()


def current(database: Database) -> str | None:
    """The revision that the database has; None where it is empty or, with SQLite, where there is no file.

    Raises SchemaMismatch where the tables are somebody else's, and StorageUnavailable.
    """
    if not database.exists():
        return None
    return database.read(_current)


def check(database: Database) -> list[str]:
    """What is wrong with the database, one sentence for each thing; reads all of a SQLite file.

    Raises StorageUnavailable.
    """
    from tracker.store.engine import file_rights
    from tracker.store.maintenance import integrity

    shut = file_rights.obstacles(database)
    if shut and not database.is_sqlite:  # nor may it be read, perhaps
        return shut
    try:
        found = current(database)
    except SchemaMismatch as mismatch:
        return [str(mismatch)]
    if found is None:
        return [_nothing_in(database)]
    if damage := integrity.damage(database):
        return damage
    problems = shut + database.read(integrity.problems)
    if found == head():
        return problems + database.read(integrity.schema_problems)
    # what a newer schema should have, only a newer version knows
    return problems + ([] if _is_able(database, found) else [database.read(lambda c: _mismatch(c, found))])


def _nothing_in(database: Database) -> str:
    return _EMPTY if database.exists() else _MISSING


def head() -> str:
    """The revision that this version of tracker makes and works with."""
    return revisions()[-1]


def told(found: str | None) -> str:
    """A schema that this version works with, in words."""
    if found is not None and _is_newer(found):
        return f"schema {found}, newer than this version's {head()}, which can work with it all the same"
    return f"schema {found}, as this version needs it"


@cache
def revisions() -> list[str]:
    """All revisions that this version knows, from the first to the last."""
    folder = Path(__file__).parent / "migrations" / "versions"
    return sorted(path.name.partition("_")[0] for path in folder.glob("[0-9]*_*.py"))


def alembic_config(connection: Connection, options: dict[str, Any] | None = None) -> Config:
    """For alembic's commands: the migrations of this package on `connection`, and silence on standard output.

    options: further ones for alembic's MigrationContext.
    """
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "options": options or {}}, stdout=io.StringIO())
    config.set_main_option("script_location", "tracker.store.schema:migrations")
    return config


def _run(connection: Connection) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config(connection)
    command.upgrade(config, "head")
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    compatibility.record(
        connection,
        compatibility.oldest((s.revision, getattr(s.module, "oldest_able", None)) for s in scripts),
    )
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise SchemaMismatch(
            "After migrating, some rows would refer to rows that do not exist, so nothing was changed; "
            "run `tracker db check`"
        )


def _current(connection: Connection) -> str | None:
    tables = sorted(connection.scalars(sa.text(_TABLES[connection.dialect.name])))
    if not tables:
        return None
    if "alembic_version" not in tables:
        names = ", ".join(tables[:3]) + (", …" if len(tables) > 3 else "")
        raise SchemaMismatch(
            f"The database holds tables that are not tracker's ({names}); name an empty one in database.url"
        )
    found = connection.scalars(sa.text("SELECT version_num FROM alembic_version")).all()
    if found and found[0] in _UNRELEASED:
        raise SchemaMismatch(
            f"The database has schema {found[0]} of a version before the first release, which cannot be upgraded. "
            "Nothing was changed. Name a new database in database.url, or go on with the version that made this one"
        )
    if len(found) != 1 or not _is_revision(found[0]):
        raise SchemaMismatch(
            "The database's tables were made by another program's migrations; name an empty one in database.url"
        )
    return str(found[0])


def _is_revision(text: str) -> bool:
    return text in revisions() or _is_newer(text)


def _is_newer(revision: str) -> bool:
    return len(revision) == 4 and revision.isdecimal() and revision > head()


def _is_able(database: Database, found: str) -> bool:
    """Whether this version can work on a schema that is not its own."""
    return _is_newer(found) and database.read(_can_work)


def _can_work(connection: Connection) -> bool:
    oldest = compatibility.recorded(connection)
    return oldest is not None and oldest <= head()


def _mismatch(connection: Connection, found: str) -> str:
    if found in revisions():
        return f"The database has schema {found} and this version of tracker needs {head()}; run `tracker db upgrade`"
    oldest = compatibility.recorded(connection)
    able = f", with which only versions from schema {oldest} on can work" if oldest else ""
    return (
        f"This version of tracker is older than the database: it knows schemas up to {head()}, and the database has "
        f"{found}{able}; install the version that made it"
    )
