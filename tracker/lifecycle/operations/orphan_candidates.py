"""Finds the submissions that an orphan may belong to.

They depend on everything else that is stored, so they are matched each time that somebody looks, and never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracker.domain.calls import Submission
from tracker.domain.matching.facts import Unjoined
from tracker.lifecycle.joining.match_context import load_match_context
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Connection
from tracker.store.inbox import match_queries, states
from tracker.store.read.callbacks import get_callback
from tracker.store.read.views import ReceivedCallback


class CallbackDetails(NamedTuple):
    """A callback with its request, and the submissions that it may belong to if it is an orphan."""

    received: ReceivedCallback
    candidates: Sequence[Submission]


def load_callback_details(c: Connection, id: str) -> CallbackDetails:
    """Return a callback with its candidates. Raises NotFound."""
    received = get_callback(c, id)
    is_orphan = received.callback.state == states.ORPHANED
    return CallbackDetails(received=received, candidates=_find_candidates(c, id) if is_orphan else [])


def _find_candidates(c: Connection, id: str) -> list[Submission]:
    """Return the submissions that an orphan fits, the earliest request first.

    If each of them is contradicted by another report, return those that it would fit otherwise.
    """
    receipts = match_queries.receipts(c, [id])
    if not receipts:
        return []
    verdict = load_match_context(c, receipts[0].account, receipts).verdicts.get(id)
    if not isinstance(verdict, Unjoined):
        return []
    found = [s for each in verdict.candidates if (s := find_submission(c, each)) is not None]
    return sorted(found, key=lambda s: (s.requested_at or s.created_at, s.id))
