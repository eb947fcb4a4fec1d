"""All commands of `tracker`, one module each, registered here and nowhere else."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker import __version__
from tracker.cli.command_group import CommandGroup
from tracker.cli.commands.calls import call, calls, show
from tracker.cli.commands.db import db_group
from tracker.cli.commands.inbox import inbox_group
from tracker.cli.commands.server import doctor, pause, serve, status
from tracker.cli.commands.setup import demo, init, simulate

app = typer.Typer(
    name="tracker",
    cls=CommandGroup,
    help="Place outbound voice calls, and find out what became of each.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tracker {__version__}")
        raise typer.Exit


@app.callback()
def tracker(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Take the options of `tracker` itself; their callbacks do the work."""


app.command()(call.call)
app.command()(calls.calls)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(init.init)
app.command()(pause.pause)
app.command()(serve.serve)
app.command()(serve.worker)
app.command()(show.show)
app.command()(simulate.simulate)
app.command()(status.status)
app.add_typer(inbox_group, name="inbox")
app.add_typer(db_group, name="db")
