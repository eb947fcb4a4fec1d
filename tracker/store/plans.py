"""What follows from callbacks, as statements that are ready to be run: worked out while others write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tracker.domain.events import Event
from tracker.domain.timeline import Timeline
from tracker.store import bulk, inbox, records
from tracker.store import tables as t
from tracker.store.database import Connection

#: what stands in the rows of callbacks that are pending, and of calls that were accepted and no more
_PENDING: Final = {"reason": None, "loose_number": None, "twin": None, "look_again_at": None}
_ACCEPTED: Final = {
    "disputed": False, "attempts": 1, "next_attempt_at": None, "cancel_requested": False, "recording_url": None,
    "dtmf": None,
}  # fmt: skip


def plan(
    connection: Connection,
    standings: Sequence[inbox.Standing],
    events: Sequence[Event],
    timelines: Mapping[str, Timeline],
    now: datetime,
) -> bulk.Plan:
    """Statements for connections of this kind that write what was made of callbacks, new events, and the caches of
    their calls. The callbacks are pending, and of their calls is known that they were accepted, and no more.

    `bulk.run` leaves out what belongs to callbacks, calls and submissions by their ids.
    """
    states = [s for timeline in timelines.values() for s in timeline.submissions]
    return [
        *bulk.plan_update(connection, t.callbacks, _changed(inbox.standing_columns(standings), _PENDING)),
        *bulk.plan_insert(connection, t.events, records.event_columns(events, now), by="callback_id"),
        *bulk.plan_update(connection, t.calls, _changed(records.call_columns(timelines, now), _ACCEPTED)),
        *bulk.plan_update(connection, t.submissions, records.submission_columns(states)),
    ]


def _changed(columns: dict[str, list[Any]], before: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The columns without those that would be written as they are; all or none, so that statements are few."""
    if any(columns[name].count(value) < len(columns[name]) for name, value in before.items()):
        return columns
    return {name: values for name, values in columns.items() if name not in before}
