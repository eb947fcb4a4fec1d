"""Prints JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import typer


def print_json(document: Any) -> None:
    """Print one JSON document on standard output. A character that UTF-8 cannot encode is escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    typer.echo(text.encode("utf-8", "backslashreplace").decode())
