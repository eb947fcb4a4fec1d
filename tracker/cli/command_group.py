"""A group of commands: how its help is laid out, and how the errors of its commands are printed."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperGroup

from tracker.errors import AccountIncomplete, InvalidInput, TrackerError

#: typer's names for the kinds of values, and the usual ones
_VALUE_NAMES: Final = {
    "str>": "TEXT",
    "path>": "PATH",
    "int>": "N",
    "int range>": "N",
    "float>": "N",
    "float range>": "N",
}


class CommandGroup(TyperGroup):
    """A group of commands that prints a TrackerError as one sentence on standard error.

    The exit status is then 2 for input that is not well formed, and 1 for anything else.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in alphabetical order."""
        return sorted(super().list_commands(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command, its values named as in other programs: TEXT instead of <str>."""
        command = super().get_command(ctx, cmd_name)
        for parameter in command.params if command else ():
            if parameter.param_type_name == "argument":
                parameter.metavar = parameter.metavar or parameter.name.upper()
            elif parameter.metavar is None and (record := parameter.get_help_record(ctx)):
                parameter.metavar = _VALUE_NAMES.get(record[0].rpartition(" <")[2])
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands, each with the first sentence of its help."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(command.help)) for name, command in commands])

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except TrackerError as error:
            from tracker.cli.program_name import with_program_name

            typer.echo(with_program_name(str(error)), err=True)
            is_usage_error = isinstance(error, InvalidInput) and not isinstance(error, AccountIncomplete)
            raise typer.Exit(2 if is_usage_error else 1) from None


def first_sentence(help_text: str | None) -> str:
    """Return the first sentence of a command's help in one line."""
    text = " ".join((help_text or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "." if text else ""
