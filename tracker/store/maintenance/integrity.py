"""What can be wrong with a database that is there: damage, settings that lose data, a schema changed by hand."""

from __future__ import annotations

from tracker.errors import StorageUnavailable
from tracker.store.engine.database import Connection, Database

_OLDEST_POSTGRESQL = 14
_TOO_MANY = 10


def damage(database: Database) -> list[str]:
    """One sentence for each thing that is broken in a SQLite file; reads all of it. Nothing else can be said then."""
    if not database.is_sqlite:
        return []
    try:
        lines = database.read(_integrity)
    except StorageUnavailable as error:  # too damaged to be looked at, or really not now?
        cause = getattr(error.__cause__, "orig", None)
        if not str(getattr(cause, "sqlite_errorname", "")).startswith("SQLITE_CORRUPT"):
            raise
        lines = [str(cause)]
    return [f"The file is damaged ({line}); restore it from a backup" for line in lines if line != "ok"]


def _integrity(connection: Connection) -> list[str]:
    return list(connection.exec_driver_sql(f"PRAGMA integrity_check({_TOO_MANY})").scalars())


def problems(connection: Connection) -> list[str]:
    """One sentence for each thing that is wrong with the file or the server."""
    return _of_sqlite(connection) if connection.dialect.name == "sqlite" else _of_postgresql(connection)


def schema_problems(connection: Connection) -> list[str]:
    """One sentence for each thing that the schema lacks although its revision is this version's."""
    from tracker.store.schema.migrations.compare import differences

    return [
        f"The schema is not what its migrations made it, it needs: {difference}; restore it from a backup"
        for difference in differences(connection, extras=False)
    ]


def _of_sqlite(connection: Connection) -> list[str]:
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(_TOO_MANY)
    found = [
        f"Row {row[1]} of {row[0]} refers to a row of {row[2]} that does not exist; restore it from a backup"
        for row in dangling
    ]
    if (mode := _pragma(connection, "journal_mode")) != "wal":
        found.append(
            f"The journal mode is {mode} where it should be wal; put the file on a local disk, not a network share"
        )
    if int(_pragma(connection, "synchronous")) < 2:
        found.append("synchronous is not FULL, so a loss of power may lose callbacks that were answered")
    if int(_pragma(connection, "auto_vacuum")) != 2:
        found.append(
            "auto_vacuum is not INCREMENTAL, so the file never shrinks; stop tracker, then run "
            '`sqlite3 FILE "PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=INCREMENTAL; VACUUM"`'
        )
    return found


def _of_postgresql(connection: Connection) -> list[str]:
    found = []
    version = int(_show(connection, "server_version_num")) // 10_000
    if version < _OLDEST_POSTGRESQL:
        found.append(f"PostgreSQL {version} is too old; tracker needs {_OLDEST_POSTGRESQL} or newer")
    if (encoding := _show(connection, "server_encoding")) != "UTF8":
        found.append(f"The database's encoding is {encoding}; make it anew with UTF8")
    for setting in ("fsync", "full_page_writes"):
        if _show(connection, setting) == "off":
            found.append(f"{setting} is off on the server, so a crash may lose callbacks that were answered")
    if _show(connection, "transaction_read_only") == "on":
        found.append("The database takes no writes (a standby?); name the primary in database.url")
    return found


def _pragma(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _show(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())
