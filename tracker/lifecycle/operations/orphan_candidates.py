"""Finds the submissions that an orphan may belong to.

They depend on everything else that is stored, so they are matched each time that somebody looks, and never stored.
"""

from __future__ import annotations

from tracker.domain.documents import Document, time
from tracker.domain.matching.facts import Unjoined
from tracker.lifecycle.joining.match_context import load_match_context
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Connection
from tracker.store.inbox import match_queries, states
from tracker.store.read import callbacks


def show_callback(c: Connection, id: str) -> Document:
    """Return a callback with its request and, if it is an orphan, with its candidates. Raises NotFound."""
    document = callbacks.get_callback(c, id)
    request = document.pop("request")
    candidates = _find_candidates(c, id) if document["state"] == states.ORPHANED else []
    return {**document, "candidates": candidates, "request": request}


def _find_candidates(c: Connection, id: str) -> list[Document]:
    """Return the submissions that an orphan fits, the earliest request first.

    If each of them is contradicted by another report, return those that it would fit otherwise.
    """
    receipts = match_queries.receipts(c, [id])
    if not receipts:
        return []
    verdict = load_match_context(c, receipts[0].account, receipts).verdicts.get(id)
    if not isinstance(verdict, Unjoined):
        return []
    candidates = [s for each in verdict.candidates if (s := find_submission(c, each)) is not None]
    return [
        {
            "submission": s.id, "call": s.call, "submission_id": s.submission_id, "status": s.status.value,
            "requested_at": time(s.requested_at),
        }
        for s in sorted(candidates, key=lambda s: (s.requested_at or s.created_at, s.id))
    ]  # fmt: skip
