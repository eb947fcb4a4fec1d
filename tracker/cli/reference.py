"""docs/reference/cli.md, from the commands: `python -m tracker.cli.reference > that file`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer

from tracker.cli import app

INTRODUCTION = """\
# Command line

<!-- Written by `python -m tracker.cli.reference`; a test compares the two. Change the help texts in the code. -->

In a checkout, `scripts/tracker` is `tracker`.

Exit status: 0 done, 1 failed, 2 wrong usage. An error is one sentence on standard error that says what to do; data goes
to standard output, and with `--json` nothing else does. Every command takes `--help`.

Which database and which accounts a command works on is said by the [configuration](configuration.md).
"""

#: what typer calls the kinds of values, and what people do
_KINDS = (
    ("<str>", "TEXT"),
    ("<path>", "PATH"),
    ("<int range>", "N"),
    ("<int>", "N"),
    ("<float range>", "N"),
    ("<float>", "N"),
)


def reference() -> str:
    """The whole page, as Markdown."""
    root = typer.main.get_command(app)
    sections = [_section(path, command) for path, command in commands(root) if not _is_group(command)]
    return "\n".join([INTRODUCTION, *sections])


def commands(root: Any, path: tuple[str, ...] = ("tracker",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group below `root` with its path, in the order of their names; `root` first."""
    yield path, root
    for name, command in sorted(getattr(root, "commands", {}).items()):
        yield from commands(command, (*path, name))


def _is_group(command: Any) -> bool:
    return bool(getattr(command, "commands", None))


def _section(path: tuple[str, ...], command: Any) -> str:
    context = typer.Context(command, info_name=" ".join(path))
    usage = " ".join([*path, *(_piece(p, context) for p in command.params if _is_argument(p)), "[OPTIONS]"])
    lines = [f"## `{' '.join(path)}`", "", _one_line_a_paragraph(command.help), "", f"    {usage}", ""]
    rows = [(_name(p, record[0]), record[1]) for p, record in _records(command, context)]
    if rows:
        lines += ["| | |", "|---|---|"]
        lines += [f"| `{name}` | {_cell(text)} |" for name, text in rows]
        lines.append("")
    return "\n".join(lines)


def _records(command: Any, context: typer.Context) -> Iterator[tuple[Any, tuple[str, str]]]:
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:  # not a hidden one
            yield parameter, record


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _name(parameter: Any, written: str) -> str:
    if _is_argument(parameter):
        return str(parameter.name.upper())
    for spelled, word in _KINDS:
        written = written.replace(spelled, word)
    return written.replace("|", "\\|")


def _piece(parameter: Any, context: typer.Context) -> str:
    name = parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _one_line_a_paragraph(text: str | None) -> str:
    """As a browser would: line breaks of the source mean nothing."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
