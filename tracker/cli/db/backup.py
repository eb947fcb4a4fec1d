"""`tracker db backup`: a copy of the database, made while it is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracker.cli.db import db


@db.command()
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
    from tracker.cli.context import configured, located, tell_unnamed
    from tracker.cli.ending import clearing_away
    from tracker.cli.sizes import in_words
    from tracker.cli.terminal import harmless, print_json
    from tracker.errors import ConfigurationError, NotFound
    from tracker.store.engine.database import Database
    from tracker.store.maintenance.backup import back_up
    from tracker.store.schema import upgrade

    settings = configured()
    if not settings.is_sqlite:
        raise ConfigurationError(
            "This database is PostgreSQL's, which has tools of its own for it: `pg_dump --format=custom --file=FILE`, "
            "snapshots, point-in-time recovery. See docs/how-to/backup-and-restore.md."
        )
    tell_unnamed(settings)
    with located(settings):
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
    with clearing_away("Nothing half done is left; run it again."):
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
    place = harmless(str(file.absolute()))
    source = harmless(settings.database_place)
    typer.echo(
        f"{place} is a copy of {source}: {in_words(found.size)}, schema {found.schema}, checked; {rows}."
    )
