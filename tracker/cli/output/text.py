"""Prints text for people: laid out for the terminal, and unable to control it.

No id, address, path or body is ever broken, so that it can be copied. Rich breaks a word that is longer than the line;
here it stays whole, and only the terminal breaks it.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

#: columns of a line where there is no terminal; no line of a table is as long
_UNLIMITED: Final = 20_000
_INDENT: Final = "    "
#: control, format, surrogate, and separators of lines and paragraphs
_ESCAPED_CATEGORIES: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")


def can_ask() -> bool:
    """Whether standard input is a terminal, so that a question can be answered."""
    return sys.stdin.isatty()


def make_console(*, width: int | None = None) -> Console:
    """Return a console on standard output, in colour on a terminal unless NO_COLOR is set."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False, width=width)


def print_text(*renderables: RenderableType, width: int | None = None) -> None:
    """Print on standard output. Through a pipe nothing is wrapped, and no line ends with spaces.

    A line that must not be broken (`no_wrap`) may be longer than the terminal is wide. The terminal breaks it then, and
    when it is copied from there, it is still one line.
    """
    from rich.console import Group

    console = make_console(width=width)
    if width is None and not console.is_terminal:
        console.width = _UNLIMITED
    with console.capture() as capture:
        # as a group, because Rich joins texts given one by one and forgets which of them must not be wrapped
        console.print(Group(*renderables), crop=False)
    lines = capture.get().split("\n")
    typer.echo("\n".join(line.rstrip(" ") for line in lines), nl=False, color=console.is_terminal)


def escape_control(text: str, *, lines: bool = False) -> str:
    """Return the text with control and format characters escaped, because a terminal obeys them.

    Escape sequences could recolour, overwrite or retitle the terminal. Characters that turn the direction of writing
    could show another number than the one that is there. lines: keep line breaks and tabs.
    """
    return "".join(
        c if (lines and c in "\n\t") or unicodedata.category(c) not in _ESCAPED_CATEGORIES else _escape(c)
        for c in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def unwrapped_line(line: str, style: str = "") -> Text:
    """Return a line that is not wrapped, whatever the width of the terminal. Control characters are escaped."""
    from rich.text import Text

    return _unwrapped(Text(escape_control(line), style))


@dataclass(frozen=True, kw_only=True)
class WrappedText:
    """A sentence that is wrapped between its words. Control characters are escaped."""

    text: str
    style: str = ""
    #: stands before the first line; the other lines are indented by its width
    before: Text | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        first = self.before or Text()
        indent = first.cell_len
        width = max(options.max_width - indent, 1)
        lines = wrap(escape_control(self.text), width, break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            before = Text(" " * indent) if number else first
            yield _unwrapped(Text.assemble(before, (line, self.style)))


@dataclass(frozen=True, kw_only=True)
class PlainTable:
    """Rows of cells without borders. If a row is too long, its last cell goes to a line of its own."""

    titles: Sequence[str]
    rows: Sequence[Sequence[Text]]
    #: of the columns but the last, so that rows that are printed one by one stand in line
    min_widths: Sequence[int] = ()
    show_titles: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        titles = [Text(title, "dim") for title in self.titles]
        lines = [titles, *self.rows] if self.show_titles else self.rows
        widths = [max((cells[n].cell_len for cells in lines), default=0) for n in range(len(titles) - 1)]
        for n, min_width in enumerate(self.min_widths):
            widths[n] = max(widths[n], min_width)
        room = options.max_width - sum(widths) - len(widths)
        for cells in lines:
            *first, last = cells
            line = _join_cells(_pad(cell, width) for cell, width in zip(first, widths, strict=True))
            if last.cell_len <= room:
                yield _unwrapped(_join_cells((line, last)))
            else:
                yield _unwrapped(line)
                yield _unwrapped(Text.assemble(_INDENT, last))


def _pad(cell: Text, width: int) -> Text:
    from rich.text import Text

    return Text.assemble(cell, " " * (width - cell.cell_len))


def _join_cells(cells: Iterable[Text]) -> Text:
    from rich.text import Text

    return Text(" ").join(cells)


def _unwrapped(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ignore"
    return line
