"""Checks whether a database has a schema that this version can work with, creates the schema, and upgrades it.

A revision is a number of four digits: that of the last migration that was run. The files in migrations/versions/ are
all that this version knows. alembic stores the number in `alembic_version`. Here it is read without alembic, because
importing alembic takes longer than most commands run.
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
    # without the tables of extensions
    "postgresql": "SELECT relname FROM pg_class c WHERE relkind IN ('r', 'p')"
    " AND relnamespace = current_schema()::regnamespace"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
}
#: tables that an error names at most
_NAMED_TABLES: Final = 3
#: schemas of versions that were never released; their databases cannot be upgraded
_UNRELEASED: Final = ("0001", "0002", "0003")

#: alembic keeps its state in module globals while it runs
_alembic_lock: Final = threading.Lock()


def prepare(database: Database, *, create: bool) -> None:
    """Make sure that this version can work with the database; each program calls this when it starts.

    create: create the schema in an empty database; several processes may do so at once. Raises SchemaMismatch, which
    says what to do, and StorageUnavailable.
    """
    if create and current(database) is None:
        upgrade(database)
    require_schema(database)
    if create:
        inbox_file.create(database)
    inbox_file.check(database)


def require_schema(database: Database) -> None:
    """Raise SchemaMismatch unless this version can work with the schema, which may be a newer one."""
    if problem := find_mismatch(database):
        raise SchemaMismatch(problem)


def find_mismatch(database: Database) -> str | None:
    """Return why this version cannot work with the schema, and what to do; None if it can.

    Raises StorageUnavailable.
    """
    try:
        revision = current(database)
    except SchemaMismatch as error:
        return str(error)
    if revision is None:
        if database.exists():
            return "The database is empty. Run `tracker db upgrade`."
        return (
            "The database does not exist yet. Run `tracker db upgrade`, or `tracker serve`, which creates it."
        )
    if revision == head() or (_is_newer(revision) and database.read(_is_compatible)):
        return None
    return database.read(lambda c: _describe_mismatch(c, revision))


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema up to date in one transaction; return the revision before (None: it was empty) and after.

    Does nothing if the schema is up to date, or newer and this version can work with it. After a deadlock with
    processes that use the database it begins again. Raises SchemaMismatch if the database is not tracker's, of an
    unreleased version or too new; ConfigurationError if the database's user may not create tables; StorageUnavailable.
    """
    with _alembic_lock:
        before, after = migration_lock.run_exclusively(database, _upgrade)
    inbox_file.create(database)
    return before, after


def current(database: Database) -> str | None:
    """Return the database's revision; None if it is empty, or if a SQLite file does not exist.

    Raises SchemaMismatch if the tables are not tracker's or of an unreleased version, and StorageUnavailable.
    """
    return database.read(_current) if database.exists() else None


def head() -> str:
    """Return the revision that this version creates and works with."""
    return revisions()[-1]


def describe(revision: str | None) -> str:
    """Return a phrase about a schema that this version works with."""
    if revision is not None and _is_newer(revision):
        return f"schema {revision}, newer than this version's {head()}, which can work with it all the same"
    return f"schema {revision}, as this version needs it"


@cache
def revisions() -> list[str]:
    """Return all revisions that this version knows, from the first to the last."""
    folder = Path(__file__).parent / "migrations" / "versions"
    return sorted(path.name.partition("_")[0] for path in folder.glob("[0-9]*_*.py"))


def alembic_config(connection: Connection, options: dict[str, Any] | None = None) -> Config:
    """Return the configuration for alembic's commands: this package's migrations on `connection`, without output.

    options: further ones for alembic's MigrationContext.
    """
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "options": options or {}}, stdout=io.StringIO())
    config.set_main_option("script_location", "tracker.store.schema:migrations")
    return config


def _upgrade(connection: Connection) -> tuple[str | None, str]:
    before = _current(connection)
    if before is not None and _is_newer(before) and _is_compatible(connection):
        return before, before
    if before is not None and before not in revisions():
        raise SchemaMismatch(_describe_mismatch(connection, before))
    if before != head():
        _run_migrations(connection)
    return before, head()


def _run_migrations(connection: Connection) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config(connection)
    command.upgrade(config, "head")
    migrations = ScriptDirectory.from_config(config).walk_revisions()
    declared = ((m.revision, getattr(m.module, "oldest_able", None)) for m in migrations)
    compatibility.record_oldest(connection, compatibility.find_oldest(declared))
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise SchemaMismatch(
            "After the migrations some rows would refer to rows that do not exist, so nothing was changed. Run "
            "`tracker db check`."
        )


def _current(connection: Connection) -> str | None:
    tables = sorted(connection.scalars(sa.text(_TABLES[connection.dialect.name])))
    if not tables:
        return None
    if "alembic_version" not in tables:
        names = ", ".join(tables[:_NAMED_TABLES]) + (", …" if len(tables) > _NAMED_TABLES else "")
        raise SchemaMismatch(
            f"The database has tables that are not tracker's ({names}). Name an empty one in `database.url`."
        )
    found = connection.scalars(sa.text("SELECT version_num FROM alembic_version")).all()
    if found and found[0] in _UNRELEASED:
        raise SchemaMismatch(
            f"The database has schema {found[0]} of a version before the first release, and cannot be upgraded. "
            "Nothing was changed. Name a new database in `database.url`, or go on with the version that made this one."
        )
    if len(found) != 1 or not (found[0] in revisions() or _is_newer(found[0])):
        raise SchemaMismatch(
            "The database's tables were made by another program's migrations. Name an empty one in `database.url`."
        )
    return str(found[0])


def _is_newer(revision: str) -> bool:
    return len(revision) == 4 and revision.isdecimal() and revision > head()


def _is_compatible(connection: Connection) -> bool:
    """Return whether this version can work on a newer schema."""
    oldest = compatibility.load_oldest(connection)
    return oldest is not None and oldest <= head()


def _describe_mismatch(connection: Connection, revision: str) -> str:
    if revision in revisions():
        return (
            f"The database has schema {revision} and this version needs {head()}. Run `tracker db upgrade`."
        )
    oldest = compatibility.load_oldest(connection)
    compatible = f", with which only versions from schema {oldest} on can work" if oldest else ""
    return (
        f"This version of tracker is older than the database: it knows schemas up to {head()}, and the database has "
        f"{revision}{compatible}. Install the version that made it."
    )
