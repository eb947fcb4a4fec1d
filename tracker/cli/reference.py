"""Writes docs/reference/cli.md from the commands: `python -m tracker.cli.reference > docs/reference/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import typer

from tracker.cli.commands import app

_INTRODUCTION: Final = """\
# Command line

<!-- Written by `python -m tracker.cli.reference`; a test compares the two. Change the help texts in the code. -->

In a checkout, type `scripts/tracker` for `tracker`. Every command has `--help`.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | wrong usage |

An error is one sentence on standard error that says what to do. Data goes to standard output; with `--json` nothing
else goes there.

The [configuration](configuration.md) says which database and which accounts a command works on.
"""


def reference() -> str:
    """Return the whole page as Markdown."""
    root = typer.main.get_command(app)
    sections = [_section(path, command) for path, command in commands(root) if not _is_group(command)]
    return "\n".join([_INTRODUCTION, *sections])


def commands(root: Any, path: tuple[str, ...] = ("tracker",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return every command and group from `root` on with its path, sorted by name; `root` comes first."""
    yield path, root
    if _is_group(root):
        context = typer.Context(root, info_name=path[-1])
        for name in root.list_commands(context):
            yield from commands(root.get_command(context, name), (*path, name))


def _is_group(command: Any) -> bool:
    return bool(getattr(command, "commands", None))


def _section(path: tuple[str, ...], command: Any) -> str:
    context = typer.Context(command, info_name=" ".join(path))
    arguments = [_argument(p) for p in command.params if _is_argument(p)]
    lines = [f"## `{' '.join(path)}`", "", _unwrap_paragraphs(command.help), ""]
    lines += [f"    {' '.join([*path, *arguments, '[OPTIONS]'])}", ""]
    arguments_first = sorted(command.params, key=_is_option)
    rows = [(p, record) for p in arguments_first if (record := p.get_help_record(context)) is not None]
    if rows:
        lines += ["| | |", "|---|---|"]
        lines += [f"| `{_name(p, name)}` | {_cell(text)} |" for p, (name, text) in rows]
        lines.append("")
    return "\n".join(lines)


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _is_option(parameter: Any) -> bool:
    return not _is_argument(parameter)


def _name(parameter: Any, name: str) -> str:
    return str(parameter.name.upper()) if _is_argument(parameter) else name.replace("|", "\\|")


def _argument(parameter: Any) -> str:
    name = parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _unwrap_paragraphs(text: str | None) -> str:
    """Return the help with one line for each paragraph, because line breaks in the source mean nothing."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
