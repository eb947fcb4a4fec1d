"""What follows from callbacks, as statements that are ready to be run: worked out while others write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tracker.domain.events import Event
from tracker.domain.timeline import Timeline
from tracker.store import bulk, inbox, records
from tracker.store import tables as t
from tracker.store.database import Connection


def plan(
    connection: Connection,
    standings: Sequence[inbox.Standing],
    events: Sequence[Event],
    timelines: Mapping[str, Timeline],
    now: datetime,
) -> bulk.Plan:
    """Statements for connections of this kind that write what was made of callbacks, new events, and the caches of
    their calls.

    `bulk.run` leaves out what belongs to callbacks, calls and submissions by their ids.
    """
    states = [s for timeline in timelines.values() for s in timeline.submissions]
    return [
        *bulk.plan_update(connection, t.callbacks, inbox.standing_columns(standings)),
        *bulk.plan_insert(connection, t.events, records.event_columns(events, now), by="callback_id"),
        *bulk.plan_update(connection, t.calls, records.call_columns(timelines, now)),
        *bulk.plan_update(connection, t.submissions, records.submission_columns(states)),
    ]
