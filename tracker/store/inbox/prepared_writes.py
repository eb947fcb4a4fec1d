"""What follows from callbacks, as statements that are ready to be run: worked out while others write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tracker.domain.events import Event
from tracker.domain.timeline.fold import Timeline
from tracker.store.calls import records
from tracker.store.engine import bulk
from tracker.store.engine.database import Connection
from tracker.store.inbox import states as inbox
from tracker.store.schema import tables as t

#: what stands in the rows of callbacks that are pending, and of calls that were accepted and no more
_PENDING: Final = {"reason": None, "loose_number": None, "twin": None, "look_again_at": None}
_ACCEPTED: Final = {
    "disputed": False, "attempts": 1, "next_attempt_at": None, "cancel_requested": False, "recording_url": None,
    "dtmf": None,
}  # fmt: skip


def plan_first(
    connection: Connection,
    standings: Sequence[inbox.MatchState],
    events: Sequence[Event],
    timelines: Mapping[str, Timeline],
    repeats: Mapping[str, str],
) -> bulk.Plan:
    """Statements for connections of this kind that write what was made of callbacks, new events, the caches of their
    calls, and which callback says again what another one said. The callbacks are pending, and of their calls is known
    that they were accepted, and no more.

    `bulk.run` says when they are written, and leaves out what belongs to callbacks, calls and submissions by their ids.
    """
    told = _changed(inbox.standing_columns(standings), _PENDING)
    caches = _changed(records.call_columns(timelines), _ACCEPTED)
    return _plan(connection, told | _repeats(standings, repeats), events, timelines, caches)


def plan_more(
    connection: Connection,
    standings: Sequence[inbox.MatchState],
    events: Sequence[Event],
    timelines: Mapping[str, Timeline],
    repeats: Mapping[str, str],
) -> bulk.Plan:
    """The same where more is known of their calls. timelines: those that are others now."""
    told = _changed(inbox.standing_columns(standings), _PENDING) | _repeats(standings, repeats)
    caches = records.call_columns(timelines) if timelines else {}
    return _plan(connection, told, events, timelines, caches)


def _plan(
    connection: Connection,
    told: bulk.Columns,
    events: Sequence[Event],
    timelines: Mapping[str, Timeline],
    caches: bulk.Columns,
) -> bulk.Plan:
    planned = bulk.plan_update(connection, t.callbacks, told)
    if timelines:
        states = [s for timeline in timelines.values() for s in timeline.submissions]
        planned += [
            *bulk.plan_insert(
                connection, t.events, records.event_columns(events), by="callback_id", dated="recorded_at"
            ),
            *bulk.plan_update(connection, t.calls, caches, dated="updated_at"),
            *bulk.plan_update(connection, t.submissions, records.submission_columns(states)),
        ]
    return planned


def _repeats(
    standings: Sequence[inbox.MatchState], repeats: Mapping[str, str]
) -> dict[str, list[str | None]]:
    """Its column, where one of them is a repeat: a pending callback is none."""
    return {"repeat_of": [repeats.get(s.id) for s in standings]} if repeats else {}


def _changed(columns: dict[str, list[Any]], before: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The columns without those that would be written as they are; all or none, so that statements are few."""
    if any(columns[name].count(value) < len(columns[name]) for name, value in before.items()):
        return columns
    return {name: values for name, values in columns.items() if name not in before}
