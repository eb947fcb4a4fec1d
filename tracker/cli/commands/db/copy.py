"""`tracker db copy`: copy everything into another database."""

from __future__ import annotations

from typing import Annotated, Final

import typer

_LEFT: Final = (
    "The copy is not complete, and nobody is dialled from it; the original is as it was. Run this again: what is there "
    "is compared, and it goes on."
)


def copy(
    to: Annotated[
        str, typer.Option(metavar="URL", help="postgresql://user:password@host/name, or sqlite:///file.")
    ],
    while_running: Annotated[
        bool,
        typer.Option(
            "--while-running", help="A first pass beside running processes; a last one without it follows."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was copied as JSON.")] = False,
) -> None:
    """Copy the configured database into another one.

    The other one is empty, or an earlier copy. The command may be interrupted and run again: equal rows are only
    compared, changed ones are written, and rows that are gone are removed. At the end counts and checksums of every
    table are compared. The original is only read, and no call is dialled from the copy before it is complete.
    """
    from tracker.cli.cleanup_on_signal import cleanup_on_signal
    from tracker.cli.commands.db.copy_target import Target
    from tracker.cli.context import load_cli_settings, open_database
    from tracker.cli.output.formatting import format_row_counts
    from tracker.cli.output.json import print_json
    from tracker.cli.output.progress import show_progress
    from tracker.cli.output.text import escape_control
    from tracker.cli.program_name import with_program_name
    from tracker.errors import ConfigurationError, Conflict
    from tracker.lifecycle.maintenance.copy_database import DatabaseCopier
    from tracker.store.engine.database import Database
    from tracker.store.maintenance.file_swap import is_open_elsewhere

    settings = load_cli_settings()
    try:
        target = Target(to)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error).replace("database.url", "--to")) from None
    try:
        original = Database(settings.database_url)
        source_path = original.path
        same_file = source_path and target.path and source_path.resolve() == target.path.resolve()
        if target.url == original.url or same_file:
            raise Conflict("The target is the configured database itself; name another one.")
        if not while_running and source_path and source_path.exists() and is_open_elsewhere(source_path):
            raise Conflict(
                f"{source_path.absolute()} is in use: stop `tracker serve`, `tracker worker` and whatever else has it "
                "open, or make a first pass beside them with --while-running."
            )
        with cleanup_on_signal(_LEFT), open_database(settings) as source:
            mover = DatabaseCopier(source, target, while_running=while_running)
            total = None if json else mover.total()
            with show_progress("rows", visible=not json, total=total) as progress:
                mover.report(progress)
                done = mover.move()
    finally:
        target.close()
    if json:
        print_json(done.document())
        return
    place = escape_control(target.place)
    rows = format_row_counts(done.rows)
    changes = f"{done.written:,} row{'' if done.written == 1 else 's'} written, {done.removed:,} removed"
    if done.complete:
        typer.echo(f"{place} is equal to {settings.database_location}: {rows or 'no rows'} ({changes}).")
        start = (
            "Set database.url to it, and start `tracker serve` and `tracker worker` there, and there only."
        )
        typer.echo(with_program_name(start))
    else:
        left = f", {done.left:,} left to the last pass" if done.left else ""
        typer.echo(
            f"{place} has what was there ({changes}{left}), and is not complete: nobody is dialled from it."
        )
        typer.echo("Stop every process, and run this once more without --while-running.")
