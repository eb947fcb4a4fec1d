"""`tracker db backup`: copy the database while it is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def backup(
    file: Annotated[Path, typer.Argument(help="The backup to write.", metavar="FILE")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file, but never a device or a pipe.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Back up an SQLite database into one file.

    The server may run meanwhile, and nothing waits for the backup. The file is checked and flushed before it appears
    under its name, and only you can read it. With PostgreSQL use pg_dump, or your provider's snapshots.
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
            "This database is PostgreSQL's. Use its own tools: `pg_dump --format=custom --file=FILE`, snapshots, or "
            "point-in-time recovery. See docs/how-to/backup-and-restore.md."
        )
    warn_if_database_unnamed(settings)
    with database_error_context(settings):
        database = Database(settings.database_url)
        try:
            # with any schema, because a backup is needed most before an upgrade
            if upgrade.current(database) is None:
                raise NotFound(
                    f"There is nothing to copy yet: {settings.database_location} is empty, or does not exist."
                )
            path = database.path
        finally:
            database.close()
    if path is None:
        raise ConfigurationError("`database.url` is one of SQLite's own forms (file:…). Name a plain file.")
    with cleanup_on_signal("Nothing half done is left; run it again."):
        copy = back_up(path, file, force=force)
    if json:
        print_json(
            {"file": str(file.absolute()), "bytes": copy.size, "schema": copy.schema, "rows": copy.counts}
        )
        return
    rows = ", ".join(f"{n:,} {name}" for name, n in copy.counts.items())
    place = escape_control(str(file.absolute()))
    source = escape_control(settings.database_location)
    typer.echo(
        f"{place} is a copy of {source}: {format_size(copy.size)}, schema {copy.schema}, checked; {rows}."
    )
