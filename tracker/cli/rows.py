"""Rows of cells of which none is ever broken: what does not fit beside the others stands on a line of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.text import Text

_INDENTED = "    "


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Something to print. The last cell of a row is the least important, and goes to a second line where it must.

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
