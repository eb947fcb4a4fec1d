"""`tracker db upgrade` and `tracker db check`: whether the database fits this version, and is sound."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli.db import db


@db.command()
def upgrade(
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Make the schema, or bring it up to what this version needs.

    Keep a copy of the database. On PostgreSQL, processes of the version before may run on where the release notes say
    so: callbacks are answered 503 for the seconds that it takes, and nothing is lost; then replace them one by one.
    Otherwise, and on SQLite, stop them first.
    """
    from tracker.cli.context import configured, located, tell_unnamed
    from tracker.cli.terminal import print_json
    from tracker.store.engine.database import Database
    from tracker.store.schema import upgrade as schema

    settings = configured()
    tell_unnamed(settings)
    with located(settings):
        database = Database(settings.database_url)
        try:
            before, after = schema.upgrade(database)
        finally:
            database.close()
    if json:
        print_json({"before": before, "after": after})
    elif before == after:
        typer.echo(f"{settings.database_place} has {schema.told(after)}; nothing was to be done.")
    else:
        typer.echo(
            f"{settings.database_place} has schema {after} now" + (f"; it had {before}." if before else ".")
        )


@db.command()
def check(json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Say what is wrong with the database: damage, settings that lose data, a schema that does not fit.

    Reads all of an SQLite file. Exit status 1 where something is wrong.
    """
    from tracker.cli.context import configured, located, tell_unnamed
    from tracker.cli.myself import as_called
    from tracker.cli.terminal import print_json
    from tracker.store.engine.database import Database
    from tracker.store.schema import upgrade as schema

    settings = configured()
    tell_unnamed(settings)
    with located(settings):
        database = Database(settings.database_url)
        try:
            found = schema.check(database)
            has = None if found else schema.current(database)
        finally:
            database.close()
    problems = [as_called(f"{problem} (database: {settings.database_place})") for problem in found]
    if json:
        print_json({"ok": not problems, "schema": schema.head(), "problems": problems})
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    if not json:
        typer.echo(f"{settings.database_place} is sound and has {schema.told(has)}.")
