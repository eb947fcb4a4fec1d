"""`tracker db upgrade` and `tracker db check`: the schema and the health of the database."""

from __future__ import annotations

from typing import Annotated

import typer


def upgrade(
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Create the schema, or upgrade it to what this version needs.

    Keep a backup of the database. On PostgreSQL, processes of the previous version may go on if the release notes say
    so. Callbacks are then answered 503 for the seconds of the upgrade, and nothing is lost; replace the processes one
    by one afterwards. Otherwise, and on SQLite, stop all processes first.
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
    place = settings.database_location
    if json:
        print_json({"before": before, "after": after})
    elif before == after:
        typer.echo(f"{place} has {schema.describe(after)}; there was nothing to do.")
    else:
        typer.echo(f"{place} has schema {after} now" + (f"; it had {before}." if before else "."))


def check(json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Check the database for damage, a wrong schema and unsafe settings.

    It reads all of an SQLite database, the inbox file, too. Exit status 1 if something is wrong.
    """
    from tracker.cli.context import database_error_context, load_cli_settings, warn_if_database_unnamed
    from tracker.cli.output.json import print_json
    from tracker.cli.program_name import with_program_name
    from tracker.store.engine.database import Database
    from tracker.store.maintenance.integrity import find_problems
    from tracker.store.schema import upgrade as schema

    settings = load_cli_settings()
    warn_if_database_unnamed(settings)
    with database_error_context(settings):
        database = Database(settings.database_url)
        try:
            problems = find_problems(database)
            revision = None if problems else schema.current(database)
        finally:
            database.close()
    place = settings.database_location
    problems = [with_program_name(f"{problem} Database: {place}.") for problem in problems]
    if json:
        print_json({"ok": not problems, "schema": schema.head(), "problems": problems})
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    if not json:
        typer.echo(f"{place} is sound and has {schema.describe(revision)}.")
