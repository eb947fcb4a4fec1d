"""The documents as tests read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, *languages: str) -> list[str]:
    return [body for language, body in FENCED.findall(text_of(name)) if language in languages]


def statusz_shown() -> dict[str, Any]:
    """What the reference shows of `GET /statusz`."""
    shown = map(json.loads, blocks("docs/reference/http.md", "json"))
    found: dict[str, Any] = next(each for each in shown if "lag_s" in each)
    return found
