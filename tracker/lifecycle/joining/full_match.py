"""Weighing: callbacks matched anew, with all that bears on them, and what changed written down.

Whoever weighs holds the joining lock, and takes it before any call's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tracker.clock import Clock
from tracker.domain.call_reports import CallReport
from tracker.domain.events import MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts, Verdict
from tracker.domain.matching.ids import base_id_key, id_key, is_named_by_first_id
from tracker.domain.timeline.fold import Timeline
from tracker.lifecycle.joining.match_context import load_match_context, pollable_candidates
from tracker.lifecycle.timeline.event_writer import apply_events
from tracker.store.calls import records
from tracker.store.engine.database import Connection
from tracker.store.inbox import states
from tracker.store.queue import jobs

log = structlog.get_logger()

#: after this an orphan is looked at again, however little happens
FIRST_LOOK: Final = timedelta(seconds=5)
_SURER_THAN_A_MESSAGE_ID: Final = (
    MatchedBy.submission_id,
    MatchedBy.submission_id_without_suffix,
    MatchedBy.reference,
)
#: joins that one line of the log names
_NAMED: Final = 20


def rematch(
    c: Connection, account: str, targets: list[Receipt], clock: Clock, *, fresh: bool = False
) -> None:
    """Match these receipts, and all others whose match they may change; write what changed. The lock is held.

    fresh: they were pending until this transaction.
    """
    if not targets:
        return
    now = clock()
    if fresh:
        before = {r.id: states.MatchState(id=r.id, state=states.PENDING) for r in targets}
    else:
        before = states.match_states(c, [r.id for r in targets])
    stood = {id: s.submission for id, s in before.items() if s.submission}
    gathered = load_match_context(c, account, targets, stood)
    before |= states.match_states(c, gathered.targets - before.keys())
    after = {
        id: _standing(gathered.receipts[id], gathered.verdicts[id], gathered.submissions, before[id], now)
        for id in gathered.targets
    }
    changed = {id: s for id, s in after.items() if _differs(s, before[id])}
    touched = {
        s.submission: s.call for id in changed for s in (after[id], before[id]) if s.submission and s.call
    }
    moved = {id: s for id, s in changed.items() if s.submission != before[id].submission}

    calls = records.lock(c, set(touched.values()))
    states.write_match_states(c, list(changed.values()))
    waited = {id for id in changed if before[id].state != states.PENDING}
    states.add_wait_keys(
        c, account, {id: _keys(gathered.receipts[id].report, s) for id, s in changed.items()}, waited
    )
    read = {id: gathered.receipts[id].report for id in changed}
    # what moved from one attempt of a call to another may change no event, but what is known of the call
    within = {s.call for id, s in moved.items() if s.call is not None and s.call == before[id].call}
    timelines = apply_events(c, calls, rederive=touched, read=read, redate=within, now=clock())
    ambiguous = [id for id, s in changed.items() if s.reason == "ambiguous" != before[id].reason]
    jobs.plan_all(c, jobs.POLL, pollable_candidates(gathered, ambiguous), account, now)
    log.info(
        "callbacks.weighed",
        account=account,
        count=len(gathered.targets),
        moved=len(moved),
        which=joins_for_log(moved.values(), timelines),
    )


def joins_for_log(
    standings: Collection[states.MatchState], timelines: Mapping[str, Timeline]
) -> list[dict[str, str | None]]:
    """For the log, so that the way of a call can be found in it; none in a rush: the inbox itself must do."""
    if len(standings) > _NAMED:
        return []
    return [
        {
            "callback": s.id,
            "call": s.call,
            "matched_by": s.matched_by,
            "status": timelines[s.call].status.value,
        }
        for s in standings
        if s.call is not None
    ]


def _differs(after: states.MatchState, before: states.MatchState) -> bool:
    """Whether something is to be written: a pending one becomes something always."""
    return before.state == states.PENDING or replace(after, reading=None, named=False) != before


def _standing(
    receipt: Receipt,
    verdict: Verdict,
    submissions: Mapping[str, SubmissionFacts],
    before: states.MatchState,
    now: datetime,
) -> states.MatchState:
    if isinstance(verdict, Join):
        joined = submissions[verdict.submission]
        return states.MatchState(
            id=receipt.id,
            state=states.JOINED,
            reading=receipt.report,
            loose=not verdict.matched_by.is_exact and receipt.manual_submission is None,
            named=verdict.matched_by is MatchedBy.submission_id
            and is_named_by_first_id(receipt.report, joined),
            matched_by=verdict.matched_by.value,
            submission=joined.id,
            call=joined.call,
        )
    loose = receipt.manual_submission is None
    base = states.MatchState(id=receipt.id, state=states.ORPHANED, reading=receipt.report, loose=loose)
    if verdict.ignored:
        return replace(base, state=states.IGNORED, reason=verdict.reason)
    if before.state == states.IGNORED:
        return replace(base, state=states.IGNORED, reason=before.reason)
    again = before.look_again_at if before.state == states.ORPHANED else now + FIRST_LOOK
    return replace(base, reason=verdict.reason, look_again_at=again)


def _keys(reading: CallReport, standing: states.MatchState) -> set[str]:
    """By what a callback can be found again once its submission, or the id of it, is recorded.

    Also one that is joined already, unless its first id or a person says where: it may carry an id, surer than what has
    joined it, that turns out to be another submission's, or what it shares with one may turn out to be shared by two.
    """
    if standing.named or standing.matched_by == MatchedBy.operator:
        return set()
    ids = {*reading.ids}
    if reading.message_id and standing.matched_by not in _SURER_THAN_A_MESSAGE_ID:
        ids.add(reading.message_id)
    keys = {k for id in ids for k in (id_key(id), base_id_key(id))}
    # ours are known from the start: what one has joined need not wait for it
    exact = standing.state == states.JOINED and not standing.loose
    return keys if exact else keys | set(reading.references)
