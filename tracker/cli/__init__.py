"""The command line: one module per noun, so that every step of the way can be run alone.

A module registers its commands on `app` when it is imported at the foot of this file. Whatever is slow to import
(settings, store, web, httpx, rich) is imported inside the command function, so that `--help` answers at once.

What a command raises as TrackerError ends it with one sentence on standard error and exit status 1; 2 where what
was asked for is not well formed.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tracker import __version__
from tracker.errors import AccountIncomplete, InvalidInput, TrackerError

#: what typer calls the kinds of values, and what people do
_KINDS = {
    "str>": "TEXT",
    "path>": "PATH",
    "int>": "N",
    "int range>": "N",
    "float>": "N",
    "float range>": "N",
}


def first_sentence(help: str | None) -> str:  # noqa: A002 -- the word of typer
    """Of a command's help, in one line."""
    text = " ".join((help or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "." if text else ""


class Commands(TyperGroup):
    """All commands; where what they raise on purpose becomes what people read."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, whose values are named as people know it from other programs: TEXT, and not <str>."""
        command = super().get_command(ctx, cmd_name)
        for parameter in command.params if command else ():
            if parameter.param_type_name == "argument":
                parameter.metavar = parameter.metavar or parameter.name.upper()
            elif parameter.metavar is None and (record := parameter.get_help_record(ctx)):
                parameter.metavar = _KINDS.get(record[0].rpartition(" <")[2])
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each with the whole first sentence of its help."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(command.help)) for name, command in commands])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TrackerError as error:
            from tracker.cli.myself import as_called

            typer.echo(as_called(str(error)), err=True)
            badly_asked = isinstance(error, InvalidInput) and not isinstance(error, AccountIncomplete)
            raise typer.Exit(2 if badly_asked else 1) from None


app = typer.Typer(
    name="tracker",
    cls=Commands,
    help="Places outbound voice calls, takes the provider's callbacks, and tells what became of every call.",
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
    """The options of `tracker` itself; they do their work in their callbacks."""


def main() -> None:
    """Run the command line. Ends the process: 0 done, 1 failed, 2 wrong usage."""
    app(prog_name="tracker")


from tracker.cli import call as _call  # noqa: E402, F401 -- each registers its commands on `app`
from tracker.cli import calls as _calls  # noqa: E402, F401
from tracker.cli import db as _db  # noqa: E402, F401
from tracker.cli import demo as _demo  # noqa: E402, F401
from tracker.cli import doctor as _doctor  # noqa: E402, F401
from tracker.cli import inbox as _inbox  # noqa: E402, F401
from tracker.cli import init as _init  # noqa: E402, F401
from tracker.cli import pause as _pause  # noqa: E402, F401
from tracker.cli import serve as _serve  # noqa: E402, F401
from tracker.cli import show as _show  # noqa: E402, F401
from tracker.cli import simulate as _simulate  # noqa: E402, F401
from tracker.cli import status as _status  # noqa: E402, F401
