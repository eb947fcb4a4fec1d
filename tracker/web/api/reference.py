"""Writes the table of a call's fields into docs/reference/http.md: `python -m tracker.web.api.reference FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tracker.domain.wish.call_wish import WISH_FIELDS

_BEGIN: Final = (
    "<!-- Written by `python -m tracker.web.api.reference`; a test compares the two. "
    "Change the help texts in the code. -->\n"
)
_END: Final = "<!-- End of the written part. -->\n"


def fields_table() -> str:
    """Return the table of the fields of `POST /calls`, as Markdown."""
    rows = [
        f"| `{field.name}` | {' '.join(text for text in (field.help, field.details) if text)} |"
        for field in WISH_FIELDS.values()
    ]
    return "\n".join(["| field | meaning |", "|---|---|", *rows]) + "\n"


def with_fields_table(page: str) -> str:
    """Return the page with its table of fields written again."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{fields_table()}\n{_END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_fields_table(path.read_text(encoding="utf-8")), encoding="utf-8")
