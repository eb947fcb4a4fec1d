"""Printing: JSON for programs, text for people, and nothing that a stranger's text could do to a terminal."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


#: columns; no line of a table is as long
_UNLIMITED: Final = 20_000


def can_ask() -> bool:
    """Whether somebody is there who could answer a question."""
    return sys.stdin.isatty()


def print_json(document: Any) -> None:
    """One JSON document on standard output, and nothing else there."""
    typer.echo(
        json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    )


def console(*, width: int | None = None) -> Console:
    """Where text for people goes: standard output, in colour on a terminal unless NO_COLOR is set."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False, width=width)


def show(*renderables: RenderableType, width: int | None = None) -> None:
    """Text for people on standard output. Through a pipe nothing is wrapped, and no line ends with spaces.

    What must not be broken (`no_wrap`) is longer than the terminal is wide, and the terminal breaks it: copied from
    there it is still one line.
    """
    from rich.console import Group

    out = console(width=width)
    if width is None and not out.is_terminal:
        out.width = _UNLIMITED
    with out.capture() as capture:
        # as a group: Rich joins texts that are given one by one, and forgets which of them may not be wrapped
        out.print(Group(*renderables), crop=False)
    lines = capture.get().split("\n")
    typer.echo("\n".join(line.rstrip(" ") for line in lines), nl=False, color=out.is_terminal)


def harmless(text: str, *, lines: bool = False) -> str:
    """The text with everything escaped that is not to be seen but to be obeyed: control and format characters.

    Escape sequences could recolour, overwrite or retitle the terminal, and characters that turn the direction of
    writing could show another number than the one that is there. lines: line breaks and tabs stay.
    """
    return "".join(
        c if (lines and c in "\n\t") or unicodedata.category(c) not in _OBEYED else _escaped(c) for c in text
    )


#: control, format, surrogate, and separators of lines and paragraphs
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
