"""Joins made and taken back by hand: what changed by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tracker.cli.reading import callbacks_of
from tracker.errors import NotFound
from tracker.store.engine.database import Connection
from tracker.store.read import callbacks
from tracker.store.read import calls as queries

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A callback, and the calls that a decision about it may touch, at one moment."""

    callback: Document
    #: by id
    calls: Mapping[str, Document]
    #: that are joined to one of these calls, by id; the call's id
    joined: Mapping[str, str]


def standing(c: Connection, callback: str, submission: str | None) -> Standing:
    """How things stand before the decision. submission: an id of ours or of the provider's. Raises NotFound."""
    found = callbacks.get_callback(c, callback)
    ids = [found["call"]] if found["call"] else []
    if submission is not None:
        with suppress(NotFound):  # the decision itself says so
            ids.append(queries.find_call(c, submission))
    return _standing(c, found, ids)


def standing_again(c: Connection, before: Standing) -> Standing:
    """The same after it."""
    return _standing(c, callbacks.get_callback(c, before.callback["id"]), before.calls)


def _standing(c: Connection, callback: Document, ids: Iterable[str]) -> Standing:
    calls = {id: queries.get_call(c, id) for id in ids}
    joined = {one["id"]: id for id in calls for one in callbacks_of(c, id)}
    return Standing(callback=callback, calls=calls, joined=joined)


def told(before: Standing, after: Standing) -> Iterator[str]:
    """What changed, a sentence for each thing."""
    id = after.callback["id"]
    was, now = before.callback, after.callback
    if now["call"]:
        yield f"{id} belongs to {now['submission']} of {now['call']} now."
    else:
        yield f"{id} is {now['state']} now."
    if was["call"] and was["submission"] != now["submission"]:
        yield f"It was taken away from {was['submission']} of {was['call']} (matched by {was['matched_by']})."
    for one, call in before.calls.items():
        yield f"{one}: {_status(call)} before, {_status(after.calls[one])} now."
    for other, call_id in before.joined.items():
        if other != id and after.joined.get(other) != call_id:
            yield f"{other} was joined to {call_id} too, and is not any more: see `tracker inbox show {other}`."
    for other, call_id in after.joined.items():
        if other != id and before.joined.get(other) != call_id:
            yield f"{other} is joined to {call_id} now."


def document(before: Standing, after: Standing) -> dict[str, Any]:
    """The callback as it is now, with what changed, for --json."""
    lost = [id for id, call in before.joined.items() if after.joined.get(id) != call]
    calls = [
        {"id": id, "status_before": call["status"], "status": after.calls[id]["status"]}
        for id, call in before.calls.items()
    ]
    changed = {"submission_before": before.callback["submission"], "calls": calls, "no_longer_joined": lost}
    return {**after.callback, "changed": changed}


def _status(call: Document) -> str:
    return f"{call['status']}{'' if call['settled'] else ', not settled'}"
