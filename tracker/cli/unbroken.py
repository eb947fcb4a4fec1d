"""Text of which no id, address, path or body is ever broken, so that it can be copied from a terminal.

Rich breaks a word that is longer than the line; here it stays whole, and the terminal alone breaks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.console import Console, ConsoleOptions
from rich.text import Text

from tracker.cli.terminal import harmless

_INDENTED = "    "


def whole(line: str, style: str = "") -> Text:
    """A line that is not wrapped, whatever the width."""
    return _whole(Text(harmless(line), style))


@dataclass(frozen=True, kw_only=True)
class Words:
    """A sentence, wrapped between its words. before: stands before the first line, and its width before the others."""

    text: str
    style: str = ""
    before: Text | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        first = self.before or Text()
        indent = first.cell_len
        room = max(options.max_width - indent, 1)
        lines = wrap(harmless(self.text), room, break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            before = Text(" " * indent) if number else first
            yield _whole(Text.assemble(before, (line, self.style)))


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of cells. The last cell of a row is the least important, and goes to a second line where it must.

    titles: of the columns. least: how wide a column is at least, so that rows printed one by one stand in line.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[Text]]
    least: Sequence[int] = ()
    show_titles: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        titled = [Text(title, "dim") for title in self.titles]
        lines = [titled, *self.rows] if self.show_titles else self.rows
        widths = [max((cells[n].cell_len for cells in lines), default=0) for n in range(len(self.titles) - 1)]
        for n, least in enumerate(self.least):
            widths[n] = max(widths[n], least)
        room = options.max_width - sum(widths) - len(widths)
        for cells in lines:
            *first, last = cells
            line = _beside(_padded(cell, width) for cell, width in zip(first, widths, strict=True))
            if last.cell_len <= room:
                yield _whole(_beside((line, last)))
            else:
                yield _whole(line)
                yield _whole(Text.assemble(_INDENTED, last))


def _padded(cell: Text, width: int) -> Text:
    return Text.assemble(cell, " " * (width - cell.cell_len))


def _beside(cells: Iterable[Text]) -> Text:
    return Text(" ").join(cells)


def _whole(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ignore"
    return line
