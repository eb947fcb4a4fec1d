"""`tracker db prune`: remove old calls and callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli.output.text import can_ask

if TYPE_CHECKING:
    from tracker.lifecycle.maintenance.prune import Pruned


def prune(
    older_than: Annotated[str, typer.Option(metavar="AGE", help="Such as 400d or 52w; at least 7d.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print what was removed as JSON. It asks nothing, so it needs `--yes` or `--dry-run`.",
        ),
    ] = False,
) -> None:
    """Remove settled calls and callbacks of no call that are old.

    A call is old if it has not changed for this time. It goes with all its evidence. Open calls are never touched. It
    shows first what would go. It works in small transactions while everything runs. It may be interrupted at any time,
    and be run again. An SQLite file becomes smaller.
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
        reason = "`--json` asks nothing" if json else "There is no terminal to ask on"
        raise typer.BadParameter(f"{reason}. Add `--yes`, or `--dry-run` to see what would be removed.")
    settings = load_cli_settings()
    with open_database(settings) as database:
        pruner = Pruner(database)
        with show_progress("calls looked at", visible=not json) as progress:
            old = pruner.survey(keep, progress)
        if dry_run and json:
            print_json({**old.document(), "bytes": old.size, "dry_run": True})
            return
        if not json:
            for sentence in _describe(old, escape_control(settings.database_location)):
                typer.echo(sentence)
        if dry_run or not (old.rows or json):
            return
        if not yes:
            typer.confirm("Remove all this for good?", abort=True)
        with show_progress("calls removed", visible=not json, total=old.rows["calls"]) as progress:
            removed = pruner.prune(keep, progress)
    if json:
        print_json({**removed.document(), "bytes_given_back": removed.given_back, "dry_run": False})
        return
    smaller = f" The file is {format_size(removed.given_back)} smaller." if removed.given_back else ""
    typer.echo(f"Removed: {format_row_counts(removed.rows) or 'nothing'}.{smaller}")


def _describe(old: Pruned, place: str) -> Iterator[str]:
    """Return the sentences about what would be removed."""
    from tracker.cli.output.formatting import format_row_counts, format_size, format_time
    from tracker.domain.time_text import iso

    if not old.rows:
        yield f"Nothing in {place} is that old and settled."
        return
    yield f"That old and settled in {place}: {format_row_counts(old.rows)}; about {format_size(old.size)}."
    if old.oldest and old.newest:
        span = f"{format_time(iso(old.oldest))} and {format_time(iso(old.newest))}"
        yield f"The calls changed last between {span}."
