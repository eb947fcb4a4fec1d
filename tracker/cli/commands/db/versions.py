"""`tracker db upgrade` and `tracker db check`: whether the database fits this version, and is sound."""

from __future__ import annotations

from typing import Annotated

import typer


def upgrade(
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Make the schema, or bring it up to what this version needs.

    Keep a copy of the database. On PostgreSQL, processes of the version before may run on where the release notes say
    so: callbacks are answered 503 for the seconds that it takes, and nothing is lost; then replace them one by one.
    Otherwise, and on SQLite, stop them first.
    """
    from tracker.cli.context import database_error_context, load_cli_settings, warn_if_database_unnamed
    from tracker.cli.output.json import print_json
    from tracker.store.engine.database import Database
    from tracker.store.schema import upgrade as schema

    settings = load_cli_settings()
    warn_if_database_unnamed(settings)
    with database_error_context(settings):
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


def check(json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Say what is wrong with the database: damage, settings that lose data, a schema that does not fit.

    Reads all of an SQLite file. Exit status 1 where something is wrong.
    """
    from tracker.cli.context import database_error_context, load_cli_settings, warn_if_database_unnamed
    from tracker.cli.output.json import print_json
    from tracker.cli.program_name import with_program_name
    from tracker.store.engine.database import Database
    from tracker.store.schema import upgrade as schema

    settings = load_cli_settings()
    warn_if_database_unnamed(settings)
    with database_error_context(settings):
        database = Database(settings.database_url)
        try:
            found = schema.check(database)
            has = None if found else schema.current(database)
        finally:
            database.close()
    problems = [with_program_name(f"{problem} (database: {settings.database_place})") for problem in found]
    if json:
        print_json({"ok": not problems, "schema": schema.head(), "problems": problems})
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    if not json:
        typer.echo(f"{settings.database_place} is sound and has {schema.told(has)}.")
