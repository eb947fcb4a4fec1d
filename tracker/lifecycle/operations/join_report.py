"""Reports what a join or an ignore by hand changed, from a snapshot before it and one after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from tracker.errors import NotFound
from tracker.store.engine.database import Connection
from tracker.store.read.callbacks import CallbackFilter, get_callback, list_callbacks
from tracker.store.read.calls import find_call_id, get_call
from tracker.store.read.views import CallbackView, CallView, ReceivedCallback

#: callbacks of one call that are compared: one page of a list
_PAGE: Final = 500


@dataclass(frozen=True, kw_only=True)
class JoinSnapshot:
    """A callback, and the calls that a decision about it can change, at one moment."""

    received: ReceivedCallback
    #: by id
    calls: Mapping[str, CallView]
    #: callback → the call that it is joined to, for all callbacks of these calls
    joined: Mapping[str, str]

    @property
    def callback(self) -> CallbackView:
        """The callback without its request."""
        return self.received.callback

    def lost_joins(self, after: JoinSnapshot) -> list[tuple[str, str]]:
        """Return the joins (callback, call) of other callbacks that are gone `after`."""
        return _missing_joins(self, after)

    def new_joins(self, after: JoinSnapshot) -> list[tuple[str, str]]:
        """Return the joins (callback, call) of other callbacks that came `after`."""
        return _missing_joins(after, self)


def take_snapshot(c: Connection, callback_id: str, submission_id: str | None = None) -> JoinSnapshot:
    """Read the state before a decision.

    submission_id: an id of ours or of the provider's that the callback is to be joined to. Raises NotFound if there is
    no such callback; an unknown submission is left to the decision itself.
    """
    received = get_callback(c, callback_id)
    call_ids = [received.callback.call] if received.callback.call else []
    if submission_id is not None:
        with suppress(NotFound):
            call_ids.append(find_call_id(c, submission_id))
    return _snapshot(c, received, call_ids)


def retake_snapshot(c: Connection, before: JoinSnapshot) -> JoinSnapshot:
    """Read the state of the same callback and calls after the decision."""
    return _snapshot(c, get_callback(c, before.callback.id), before.calls)


def _snapshot(c: Connection, received: ReceivedCallback, call_ids: Iterable[str]) -> JoinSnapshot:
    calls = {id: get_call(c, id) for id in call_ids}
    joined = {
        each.id: id for id in calls for each in list_callbacks(c, CallbackFilter(call=id), limit=_PAGE).data
    }
    return JoinSnapshot(received=received, calls=calls, joined=joined)


def _missing_joins(snapshot: JoinSnapshot, other: JoinSnapshot) -> list[tuple[str, str]]:
    return [
        (id, call)
        for id, call in snapshot.joined.items()
        if id != snapshot.callback.id and other.joined.get(id) != call
    ]
