"""The schema of the database: whether it fits this version, how it comes into being, and how it is brought up to date.

Its revision is a number of four digits, the name of the last migration that was run; the files in
migrations/versions/ are all that this version knows. alembic keeps the number in `alembic_version`; it is read here
without alembic, which takes longer to import than most commands take to run.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from tracker.errors import ConfigurationError, SchemaMismatch
from tracker.store.database import Database, translated

if TYPE_CHECKING:
    from alembic.config import Config

#: how long a process waits for another one that is migrating, in seconds
_PATIENCE_S: Final = 60
#: PostgreSQL's advisory lock under which the schema changes: the bytes of "tracker"
_LOCK: Final = 0x747261636B6572
#: how long changing a table may hold up everybody else by waiting for somebody, in seconds
_TABLE_LOCK_S: Final = 5

_TABLES: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    # not those that belong to an extension
    "postgresql": "SELECT relname FROM pg_class c WHERE relkind IN ('r', 'p')"
    " AND relnamespace = current_schema()::regnamespace"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
}
#: SQLSTATEs: insufficient privilege, no schema to create in
_NOT_ALLOWED: Final = {"42501", "3F000"}

#: alembic keeps its state in module globals while it runs
_alembic: Final = threading.Lock()


def prepare(database: Database, *, create: bool) -> None:
    """Make sure that the schema is one that this version can work with; every program asks for it at its start.

    create: make the schema in an empty database; several processes may do so at once. Raises SchemaMismatch, which
    says what to do, and StorageUnavailable.
    """
    found = current(database)
    if found is None and create:
        upgrade(database)
    elif found != head():
        raise SchemaMismatch(_mismatch(found))


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema up to date, in one transaction; returns the revision before (None: it was empty) and after.

    Does nothing where it is up to date. Raises SchemaMismatch where the database is not tracker's or is newer than
    this version, ConfigurationError where the database's user may not make tables, and StorageUnavailable.
    """
    with _alembic, _alone(database) as connection:
        before = _current(connection)
        if before not in (None, *revisions()):
            raise SchemaMismatch(_mismatch(before))
        if before != head():
            _run(connection)
    return before, head()


def current(database: Database) -> str | None:
    """The revision that the database has; None where it is empty or, with SQLite, where there is no file.

    Raises SchemaMismatch where the tables are somebody else's, and StorageUnavailable.
    """
    path = database.path
    if path is not None and not path.exists():  # reading it would make it
        return None
    return database.read(_current)


def check(database: Database) -> list[str]:
    """What is wrong with the database, one sentence for each thing; reads all of a SQLite file.

    Raises StorageUnavailable.
    """
    from tracker.store import health

    try:
        found = current(database)
    except SchemaMismatch as mismatch:
        return [str(mismatch)]
    if found is None:
        return [_mismatch(None)]
    if damage := health.damage(database):
        return damage
    problems = database.read(health.problems)
    return problems + (database.read(health.schema_problems) if found == head() else [_mismatch(found)])


def head() -> str:
    """The revision that this version of tracker makes and works with."""
    return revisions()[-1]


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
    config.set_main_option("script_location", "tracker.store:migrations")
    return config


def _run(connection: Connection) -> None:
    from alembic import command

    command.upgrade(alembic_config(connection), "head")
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
    if len(found) != 1 or not _is_revision(found[0]):
        raise SchemaMismatch(
            "The database's tables were made by another program's migrations; name an empty one in database.url"
        )
    return str(found[0])


def _is_revision(text: str) -> bool:
    return text in revisions() or (len(text) == 4 and text.isdecimal() and text > head())


def _mismatch(found: str | None) -> str:
    if found is None:
        return "The database is empty; run `tracker db upgrade`"
    if found in revisions():
        return f"The database has schema {found} and this version of tracker needs {head()}; run `tracker db upgrade`"
    return (
        f"This version of tracker is older than the database: it knows schemas up to {head()}, and the database has "
        f"{found}; install the version that made it"
    )


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A connection with a transaction in which nobody else changes the schema; committed at the end."""
    try:
        with translated(), database.engine.connect() as connection:
            if database.is_sqlite:
                _let_go_of_foreign_keys(connection)
            with connection.begin():
                if not database.is_sqlite:
                    _wait_for_the_others(connection)
                yield connection
    except exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in _NOT_ALLOWED:
            raise
        raise ConfigurationError(
            f"The user of database.url may not make tables ({str(error.orig).splitlines()[0]}); make the database "
            "with this user as its owner"
        ) from error


def _let_go_of_foreign_keys(connection: Connection) -> None:
    """Changing a table copies it and drops the old one, which would delete the rows that refer to it.

    It can be set only outside a transaction, and so only on the driver's own connection, which is not used for
    anything else afterwards.
    """
    raw = connection.connection.driver_connection
    assert raw is not None
    connection.detach()
    raw.execute("PRAGMA foreign_keys=OFF")
    raw.execute(f"PRAGMA busy_timeout={_PATIENCE_S * 1000}")
    connection.execution_options(sqlite_begin="IMMEDIATE")


def _wait_for_the_others(connection: Connection) -> None:
    for setting, value in (
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("lock_timeout", f"{_PATIENCE_S}s"),
    ):
        connection.exec_driver_sql(f"SET LOCAL {setting} = '{value}'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_TABLE_LOCK_S}s'")
