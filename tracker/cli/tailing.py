"""Following the inbox: what is new in it is shown once it was read."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Mapping
from typing import Any, Final

import typer

from tracker.cli import inbox_rendering
from tracker.cli.terminal import show
from tracker.store.engine.database import Database
from tracker.store.read.callbacks import CallbackFilter, list_callbacks

#: seconds between two looks
_LOOK_S: Final = 0.5
#: how many looks a callback may stay unread before it is shown as it is; nobody may be working
_UNREAD_LOOKS: Final = 3
_AT_ONCE: Final = 200


def follow(
    database: Database, *, account: str | None, last: int, seconds: float | None, utc: bool, json: bool
) -> None:
    """Print callbacks as they come in, oldest first. seconds: end after so long; 0: after one look; None: never."""
    until = None if seconds is None else time.monotonic() + seconds
    which = CallbackFilter(account=account)
    shown: set[str] = set()
    unread: dict[str, int] = {}
    first = True
    while True:
        found = database.read(lambda c: list_callbacks(c, which, limit=_AT_ONCE)).data
        if first:
            shown |= {c["id"] for c in found[last:]}
        fresh = [c for c in found if c["id"] not in shown]
        ending = until is not None and time.monotonic() >= until
        for callback in reversed(fresh):
            looks = unread[callback["id"]] = unread.get(callback["id"], 0) + 1
            if callback["state"] == "pending" and looks < _UNREAD_LOOKS and not ending:
                continue
            unread.pop(callback["id"])
            shown.add(callback["id"])
            _print(callback, utc=utc, json=json)
        if ending:
            return
        first = False
        time.sleep(_LOOK_S if until is None else min(_LOOK_S, max(until - time.monotonic(), 0)))


def _print(callback: Mapping[str, Any], *, utc: bool, json: bool) -> None:
    if json:
        typer.echo(jsonlib.dumps(callback))
    else:
        show(inbox_rendering.table([callback], utc=utc, titles=False))
