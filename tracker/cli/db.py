"""`tracker db`: the schema of the database."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli import app

db = typer.Typer(help="The database's schema.", no_args_is_help=True)
app.add_typer(db, name="db")


@db.command()
def upgrade(
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Make the schema, or bring it up to what this version needs.

    Stop serving and working processes first; keep a copy of the database.
    """
    from tracker.cli.context import configured
    from tracker.cli.terminal import print_json
    from tracker.store import schema
    from tracker.store.database import Database

    database = Database(configured().database_url)
    try:
        before, after = schema.upgrade(database)
    finally:
        database.close()
    if json:
        print_json({"before": before, "after": after})
    elif before == after:
        typer.echo(f"The database has schema {after} already; nothing was to be done.")
    else:
        typer.echo(f"The database has schema {after} now" + (f"; it had {before}." if before else "."))


@db.command()
def check(json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Say whether this version can work with the database. Exit status 1 where it cannot."""
    from tracker.cli.context import configured
    from tracker.cli.terminal import print_json
    from tracker.errors import SchemaMismatch
    from tracker.store import schema
    from tracker.store.database import Database

    database = Database(configured().database_url)
    problem = None
    try:
        schema.prepare(database, create=False)
    except SchemaMismatch as mismatch:
        problem = str(mismatch)
    finally:
        database.close()
    if json:
        print_json({"ok": problem is None, "needed": schema.head(), "problem": problem})
    elif problem is None:
        typer.echo(f"The database has schema {schema.head()}, as this version needs it.")
    else:
        typer.echo(problem, err=True)
    if problem is not None:
        raise typer.Exit(1)
