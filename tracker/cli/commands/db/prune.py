"""`tracker db prune`: what is old and over goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli.output.text import can_ask

if TYPE_CHECKING:
    from tracker.lifecycle.maintenance.prune import Pruned


def prune(
    older_than: Annotated[str, typer.Option(metavar="AGE", help="Such as 400d or 52w; at least 7d.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print what was removed as JSON. Does not ask, so it needs --yes or --dry-run."
        ),
    ] = False,
) -> None:
    """Remove settled calls that have not changed for so long, with all their evidence, and old callbacks of no call.

    What is open is never touched. It says first what would go. It works in small transactions while everything runs,
    can be interrupted at any time, and is then simply run again. An SQLite file becomes shorter by it.
    """
    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.output.formatting import format_row_counts, format_size
    from tracker.cli.output.json import print_json
    from tracker.cli.output.progress import show_progress
    from tracker.cli.output.text import escape_control
    from tracker.domain.retention import parse_retention
    from tracker.lifecycle.maintenance.prune import Pruner

    try:
        keep = parse_retention(older_than)
    except ValueError as error:
        raise typer.BadParameter(f"--older-than {error}") from None
    if not dry_run and not yes and (json or not can_ask()):
        why = "--json does not ask" if json else "nobody can be asked here"
        raise typer.BadParameter(f"{why}: say --yes, or --dry-run to see what would be removed")
    settings = load_cli_settings()
    with open_database(settings) as database:
        pruner = Pruner(database)
        with show_progress("calls looked at", visible=not json) as progress:
            found = pruner.survey(keep, progress)
        if dry_run and json:
            print_json({**found.document(), "bytes": found.size, "dry_run": True})
            return
        if not json:
            for sentence in _sentences(found, escape_control(settings.database_place)):
                typer.echo(sentence)
        if dry_run or not (found.rows or json):
            return
        if not yes:
            typer.confirm("Remove all this for good?", abort=True)
        with show_progress("calls removed", visible=not json, total=found.rows["calls"]) as progress:
            done = pruner.prune(keep, progress)
    if json:
        print_json({**done.document(), "bytes_given_back": done.given_back, "dry_run": False})
        return
    shorter = f" The file is {format_size(done.given_back)} shorter." if done.given_back else ""
    typer.echo(f"Removed: {format_row_counts(done.rows) or 'nothing'}.{shorter}")


def _sentences(found: Pruned, place: str) -> list[str]:
    from tracker.cli.output.formatting import format_row_counts, format_size, format_time
    from tracker.domain.time_text import iso

    if not found.rows:
        return [f"Nothing is that old and over in {place}."]
    sentences = [
        f"That old and over in {place}: {format_row_counts(found.rows)}; about {format_size(found.size)}."
    ]
    if found.oldest and found.newest:
        span = f"{format_time(iso(found.oldest))} and {format_time(iso(found.newest))}"
        sentences.append(f"The calls changed last between {span}.")
    return sentences
