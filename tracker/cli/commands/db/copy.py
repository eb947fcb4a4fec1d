"""`tracker db copy`: copy the database, with everything in it, into an empty one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tracker.cli.context import LocatedStorageUnavailable
    from tracker.store.maintenance.copy_target import TargetUnavailable


def copy(
    to: Annotated[
        str, typer.Option(metavar="URL", help="postgresql://user:password@host/name, or sqlite:///file.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the numbers of copied rows as JSON.")] = False,
) -> None:
    """Copy everything in the database into an empty database.

    Stop all processes that use the database first; otherwise the copy is refused. It is complete or it does not exist:
    if the command fails or is interrupted, run it again. It compares the numbers of rows in every table. Afterwards
    dialling is paused in the database that was copied, so that nobody is dialled from both.
    """
    from tracker.cli.cleanup_on_signal import cleanup_on_signal
    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.output.formatting import format_row_counts
    from tracker.cli.output.json import print_json
    from tracker.cli.output.progress import show_progress
    from tracker.cli.output.text import escape_control
    from tracker.cli.program_name import with_program_name
    from tracker.errors import ConfigurationError, Conflict
    from tracker.lifecycle.maintenance.copy_database import copy_database, count_all_rows
    from tracker.logs.redaction import mask_url_password
    from tracker.store.maintenance.copy_target import CopyTarget, TargetUnavailable

    settings = load_cli_settings()
    try:
        target = CopyTarget(to)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error).replace("database.url", "--to")) from None
    place = str(target.path.absolute()) if target.path else mask_url_password(to)
    with (
        cleanup_on_signal("Nothing was copied. Run it again."),
        open_database(settings) as source,
        closing(target),
    ):
        is_same_file = target.path and source.path and source.path.resolve() == target.path.resolve()
        if target.url == source.url or is_same_file:
            raise Conflict("The target is the configured database itself. Name another one.")
        total = None if json else count_all_rows(source)
        with show_progress("rows", visible=not json, total=total) as progress:
            try:
                report = copy_database(source, target, progress=progress)
            except TargetUnavailable as error:
                raise _locate(error, place, target.path) from error
    if json:
        print_json({"rows": report.rows})
        return
    original = escape_control(settings.database_location)
    rows = format_row_counts(report.rows) or "no rows"
    typer.echo(f"{escape_control(place)} has everything of {original}: {rows}.")
    typer.echo(f"Dialling is paused in {original}, because the copy dials from now on.")
    next_step = "Set `database.url` to the copy, and start `tracker serve` and `tracker worker` there, and there only."
    typer.echo(with_program_name(next_step))


def _locate(error: TargetUnavailable, place: str, file: Path | None) -> LocatedStorageUnavailable:
    """Return the error with the target's name instead of the configured database's, and what to do."""
    from tracker.cli.context import LocatedStorageUnavailable
    from tracker.store.engine.error_hints import error_hint

    message = str(error).removesuffix(".")
    todo = error_hint(error.__cause__, file, setting="--to")
    hint = f"; {todo}" if todo else ""
    return LocatedStorageUnavailable(
        f"The copy: {message[0].lower()}{message[1:]}. Target (--to): {place}{hint}"
    )
