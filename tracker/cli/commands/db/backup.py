"""`tracker db backup`: a copy of the database, made while it is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy is to be.", metavar="FILE")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there, never a device or a pipe.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Copy an SQLite database into one file while the server runs; nobody has to wait for it.

    The copy is checked and flushed before it appears under its name, and can be read by you alone. With PostgreSQL use
    pg_dump, or your provider's snapshots.
    """
    from tracker.cli.cleanup_on_signal import cleanup_on_signal
    from tracker.cli.context import database_error_context, load_cli_settings, warn_if_database_unnamed
    from tracker.cli.output.formatting import format_size
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import escape_control
    from tracker.errors import ConfigurationError, NotFound
    from tracker.store.engine.database import Database
    from tracker.store.maintenance.backup import back_up
    from tracker.store.schema import upgrade

    settings = load_cli_settings()
    if not settings.is_sqlite:
        raise ConfigurationError(
            "This database is PostgreSQL's, which has tools of its own for it: `pg_dump --format=custom --file=FILE`, "
            "snapshots, point-in-time recovery. See docs/how-to/backup-and-restore.md."
        )
    warn_if_database_unnamed(settings)
    with database_error_context(settings):
        database = Database(settings.database_url)
        try:
            # of whatever version: before an upgrade is when it is wanted most
            if upgrade.current(database) is None:
                raise NotFound(
                    f"There is nothing to copy yet: {settings.database_place} is empty, or not there."
                )
            path = database.path
        finally:
            database.close()
    if path is None:
        raise ConfigurationError("database.url is one of SQLite's own forms (file:…); name the file plainly.")
    with cleanup_on_signal("Nothing half done is left; run it again."):
        found = back_up(path, file, force=force)
    if json:
        document = {
            "file": str(file.absolute()),
            "bytes": found.size,
            "schema": found.schema,
            "rows": found.counts,
        }
        print_json(document)
        return
    rows = ", ".join(f"{n:,} {name}" for name, n in found.counts.items())
    place = escape_control(str(file.absolute()))
    source = escape_control(settings.database_place)
    typer.echo(
        f"{place} is a copy of {source}: {format_size(found.size)}, schema {found.schema}, checked; {rows}."
    )
