"""Options that several commands have, each declared once."""

from __future__ import annotations

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UtcOption = Annotated[bool, typer.Option("--utc", help="Show times in UTC.")]
LimitOption = Annotated[int, typer.Option(min=1, max=500, help="How many at most, newest first.")]
CursorOption = Annotated[
    str | None, typer.Option(help="Continue after a page: its `next_cursor`, from `--json`.")
]
