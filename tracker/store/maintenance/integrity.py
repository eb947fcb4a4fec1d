"""Finds what is wrong with a database: damage, a schema or an inbox that does not fit, settings that lose data."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from tracker.errors import SchemaMismatch, StorageUnavailable
from tracker.store.engine import file_rights
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import inbox_file
from tracker.store.schema import upgrade

_OLDEST_POSTGRESQL: Final = 14
#: problems of one kind that are reported at most
_MOST_REPORTED: Final = 10


def find_problems(database: Database) -> list[str]:
    """Return a sentence for each problem; reads all of SQLite's two files. Raises StorageUnavailable."""
    if not database.is_sqlite:
        # a role without rights may not even be allowed to read
        return file_rights.obstacles(database) or _find_unusable(database) or _find_in_records(database)
    url = database.url.render_as_string(hide_password=False)
    with closing(Database(url, has_inbox=False)) as records:
        if unusable := _find_unusable(records):
            return unusable
        problems = file_rights.obstacles(database) + _find_in_records(records)
    return problems + _find_in_inbox(database)


def find_damage(database: Database) -> list[str]:
    """Return what is broken in a SQLite file, from a check of all its pages; nothing on PostgreSQL."""
    if not database.is_sqlite:
        return []
    try:
        lines = database.read(_check_pages)
    except StorageUnavailable as error:  # damaged, or really not available?
        cause = getattr(error.__cause__, "orig", None)
        if not str(getattr(cause, "sqlite_errorname", "")).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise
        lines = [str(cause)]
    return [line for line in lines if line != "ok"]


def _find_unusable(records: Database) -> list[str]:
    """Return why the records cannot be used at all; nothing else can be found then."""
    if mismatch := upgrade.find_mismatch(records):
        return [mismatch]
    return [f"The file is damaged ({line}). Restore it from a backup." for line in find_damage(records)]


def _find_in_records(records: Database) -> list[str]:
    problems = records.read(_find_settings)
    # what a newer schema should have, only a newer version knows
    return problems + (records.read(_find_differences) if upgrade.current(records) == upgrade.head() else [])


def _find_in_inbox(database: Database) -> list[str]:
    inbox = database.inbox
    if inbox.exists() and (damage := find_damage(inbox)):
        return [f"The inbox file {inbox.path} is damaged ({line}). {inbox_file.WAYS_OUT}" for line in damage]
    try:
        inbox_file.check(database)
    except SchemaMismatch as error:
        return [str(error)]
    return [f"The inbox file {inbox.path}: {problem}" for problem in inbox.read(_find_sqlite_settings)]


def _check_pages(connection: Connection) -> list[str]:
    return list(connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST_REPORTED})").scalars())


def _find_differences(connection: Connection) -> list[str]:
    """Return what the schema lacks although its revision is this version's."""
    from tracker.store.schema.migrations.compare import differences

    return [
        f"The schema is not as its migrations made it: it needs {difference}. Restore it from a backup."
        for difference in differences(connection, extras=False)
    ]


def _find_settings(connection: Connection) -> list[str]:
    """Return what is wrong with the settings of the file or the server."""
    if connection.dialect.name != "sqlite":
        return _find_postgresql_settings(connection)
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(_MOST_REPORTED)
    problems = [
        f"Row {row[1]} of {row[0]} refers to a row of {row[2]} that does not exist. Restore it from a backup."
        for row in dangling
    ]
    return problems + _find_sqlite_settings(connection)


def _find_sqlite_settings(connection: Connection) -> list[str]:
    problems = []
    if (mode := _pragma(connection, "journal_mode")) != "wal":
        problems.append(
            f"The journal mode is {mode} and should be wal. Put the file on a local disk, not a network share."
        )
    if int(_pragma(connection, "synchronous")) < 2:
        problems.append("synchronous is not FULL, so a loss of power may lose callbacks that were answered.")
    if int(_pragma(connection, "auto_vacuum")) != 2:
        problems.append(
            "auto_vacuum is not INCREMENTAL, so the file never shrinks. Stop tracker, then run "
            '`sqlite3 FILE "PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=INCREMENTAL; VACUUM"`.'
        )
    return problems


def _find_postgresql_settings(connection: Connection) -> list[str]:
    problems = []
    version = int(_show(connection, "server_version_num")) // 10_000
    if version < _OLDEST_POSTGRESQL:
        problems.append(
            f"PostgreSQL {version} is too old. Upgrade the server to {_OLDEST_POSTGRESQL} or newer."
        )
    if (encoding := _show(connection, "server_encoding")) != "UTF8":
        problems.append(f"The database's encoding is {encoding}. Create a database with the encoding UTF8.")
    for setting in ("fsync", "full_page_writes"):
        if _show(connection, setting) == "off":
            problems.append(
                f"{setting} is off on the server, so a crash may lose callbacks that were answered. Set it to on."
            )
    if _show(connection, "transaction_read_only") == "on":
        problems.append("The database takes no writes (a standby?). Name the primary in `database.url`.")
    return problems


def _pragma(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _show(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())
