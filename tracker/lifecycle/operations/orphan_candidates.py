"""Candidates: the submissions among which an orphan is ambiguous, found anew by the matching when somebody looks."""

from __future__ import annotations

from tracker.domain.documents import Document, time
from tracker.domain.matching.facts import Unjoined
from tracker.lifecycle.joining.match_context import load_match_context
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Connection
from tracker.store.inbox import match_queries, states
from tracker.store.read import callbacks


def shown_callback(c: Connection, id: str) -> Document:
    """One callback with the request as it came, and with its candidates. Raises NotFound."""
    found = callbacks.get_callback(c, id)
    request = found.pop("request")
    candidates = _candidates(c, id) if found["state"] == states.ORPHANED else []
    return {**found, "candidates": candidates, "request": request}


def _candidates(c: Connection, id: str) -> list[Document]:
    """What an orphan may belong to, the earliest request first; where each is contradicted, those that fit but for it.

    They hang on everything else that is stored, so they are not stored: what they were once would mislead.
    """
    receipts = match_queries.receipts(c, [id])
    if not receipts:
        return []
    gathered = load_match_context(c, receipts[0].account, receipts)
    verdict = gathered.verdicts.get(id)
    if not isinstance(verdict, Unjoined):
        return []
    found = [s for each in verdict.candidates if (s := find_submission(c, each)) is not None]
    return [
        {
            "submission": s.id, "call": s.call, "submission_id": s.submission_id, "status": s.status.value,
            "requested_at": time(s.requested_at),
        }
        for s in sorted(found, key=lambda s: (s.requested_at or s.created_at, s.id))
    ]  # fmt: skip
