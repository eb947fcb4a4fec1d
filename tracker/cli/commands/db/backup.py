"""`tracker db backup`: copy the database while it is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def backup(
    file: Annotated[
        Path, typer.Argument(help="The backup to write; its inbox file comes beside it.", metavar="FILE")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Replace existing files, but never a device or a pipe.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Back up an SQLite database into two files.

    FILE gets the calls and their timelines; the inbox file beside it, such as `backup-inbox.db` for `backup.db`, gets
    the callbacks as they came. The server may run meanwhile, and nothing waits for the backup. Both files are checked
    and flushed before they appear under their names, FILE last, and only you can read them. With PostgreSQL use
    pg_dump, or your provider's snapshots.
    """
    from tracker.cli.cleanup_on_signal import cleanup_on_signal
    from tracker.cli.context import database_error_context, load_cli_settings, warn_if_database_unnamed
    from tracker.cli.output.formatting import format_size
    from tracker.cli.output.json import print_json
    from tracker.cli.output.text import escape_control
    from tracker.errors import ConfigurationError, NotFound
    from tracker.store.engine.database import Database, inbox_path
    from tracker.store.maintenance.backup import back_up

    settings = load_cli_settings()
    if not settings.is_sqlite:
        raise ConfigurationError(
            "This database is PostgreSQL's. Use its own tools: `pg_dump --format=custom --file=FILE`, snapshots, or "
            "point-in-time recovery. See docs/how-to/backup-and-restore.md."
        )
    warn_if_database_unnamed(settings)
    with database_error_context(settings):
        database = Database(settings.database_url)
        path = database.path
        database.close()
        if path is None:
            raise ConfigurationError(
                "`database.url` is one of SQLite's own forms (file:…). Name a plain file."
            )
        if not path.exists():
            raise NotFound(f"There is nothing to back up: {settings.database_location} does not exist.")
    # with any schema, because a backup is needed most before an upgrade
    with cleanup_on_signal("Nothing half done is left. Run it again."):
        contents = back_up(path, file, force=force)
    records, inbox = contents.records, contents.inbox
    if json:
        print_json(
            {
                "file": str(file.absolute()),
                "inbox_file": str(inbox_path(file.absolute())) if inbox else None,
                "bytes": records.size,
                "inbox_bytes": inbox.size if inbox else None,
                "schema": records.schema,
                "rows": {**records.counts, **({"inbox": inbox.count} if inbox else {})},
            }
        )
        return
    rows = ", ".join(f"{n:,} {name}" for name, n in records.counts.items())
    place = escape_control(str(file.absolute()))
    source = escape_control(settings.database_location)
    typer.echo(
        f"{place} is a copy of {source}: {format_size(records.size)}, schema {records.schema}, checked; {rows}."
    )
    if inbox:
        inbox_place = escape_control(str(inbox_path(file.absolute())))
        typer.echo(
            f"{inbox_place} is its inbox: {format_size(inbox.size)}, checked; {inbox.count:,} callbacks as they came. "
            "A backup is both files."
        )
