"""Match callbacks with everything that can bear on them, and write what changed.

The caller holds the joining lock; it is taken before any call's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tracker.clock import Clock
from tracker.domain.call_reports import CallReport
from tracker.domain.events import MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts, Verdict
from tracker.domain.matching.ids import base_id_key, id_key, is_named_by_first_id
from tracker.lifecycle.joining.match_context import MatchContext, load_match_context, pollable_candidates
from tracker.lifecycle.timeline.call_state import CallState, load
from tracker.store.engine.database import Connection
from tracker.store.inbox import states
from tracker.store.inbox.log import LoggedCallback
from tracker.store.inbox.states import MatchState
from tracker.store.queue import jobs

log = structlog.get_logger()

#: an orphan is tried again after this, even if nothing happens
FIRST_RETRY: Final = timedelta(seconds=5)
_SURER_THAN_A_MESSAGE_ID: Final = (
    MatchedBy.submission_id,
    MatchedBy.submission_id_without_suffix,
    MatchedBy.reference,
)
#: joins that one line of the log names
_MOST_LOGGED: Final = 20
_NOTHING_LOGGED: Final[Mapping[str, LoggedCallback]] = {}


def rematch(
    c: Connection,
    account: str,
    targets: list[Receipt],
    clock: Clock,
    *,
    new: Mapping[str, LoggedCallback] = _NOTHING_LOGGED,
) -> None:
    """Match these receipts, and all others whose match they may change; write what changed.

    new: rows of the inbox by callback id, for those targets that have no outcome yet. The joining lock is held.
    """
    if not targets:
        return
    now = clock()
    before = states.match_states(c, [r.id for r in targets if r.id not in new])
    before |= {id: MatchState(id=id, state=states.PENDING) for id in new}
    context = load_match_context(
        c, account, targets, {id: s.submission for id, s in before.items() if s.submission}
    )
    before |= states.match_states(c, context.targets - before.keys())
    after = {id: _state_of(id, context, before[id], now) for id in context.targets}
    changed = {id: s for id, s in after.items() if id in new or _differs(s, before[id])}
    touched = {
        s.submission: s.call for id in changed for s in (after[id], before[id]) if s.submission and s.call
    }
    moved = {id: s for id, s in changed.items() if s.submission != before[id].submission}

    states.insert(c, [(new[id], s) for id, s in changed.items() if id in new])
    states.update(c, [s for id, s in changed.items() if id not in new])
    wait_keys = {id: _wait_keys(context.receipts[id].report, s) for id, s in changed.items()}
    states.add_wait_keys(c, account, wait_keys, replace=changed.keys() - new.keys())
    # loaded after the outcomes are written, because they are what the provider reported of the submissions
    parsed = {id: context.receipts[id].report for id in changed}
    calls = load(c, set(touched.values()), with_reports=True, parsed=parsed)
    for submission, call in touched.items():
        if call in calls:
            calls[call].derive(submission)
    for id, s in moved.items():
        # a move from one attempt of a call to another may change no event, but it changes what is known of the call
        if s.call is not None and s.call == before[id].call:
            calls[s.call].touch()
    calls.save(clock())
    ambiguous = [id for id, s in changed.items() if s.reason == "ambiguous" != before[id].reason]
    jobs.plan_all(c, jobs.POLL, pollable_candidates(context, ambiguous), account, now)
    log.info(
        "callbacks.matched",
        account=account,
        count=len(context.targets),
        moved=len(moved),
        joins=_joins_for_log(moved.values(), calls),
    )


def _joins_for_log(
    joined: Collection[MatchState], calls: Mapping[str, CallState]
) -> list[dict[str, str | None]]:
    """Return one entry per join, so that a call's way can be found in the log; none in a rush: there are too many."""
    if len(joined) > _MOST_LOGGED:
        return []
    return [
        {
            "callback": s.id,
            "call": s.call,
            "matched_by": s.matched_by,
            "status": calls[s.call].timeline.status.value,
        }
        for s in joined
        if s.call is not None
    ]


def _differs(after: MatchState, before: MatchState) -> bool:
    return replace(after, report=None, named_by_first_id=False) != before


def _state_of(id: str, context: MatchContext, before: MatchState, now: datetime) -> MatchState:
    return _verdict_state(context.receipts[id], context.verdicts[id], context.submissions, before, now)


def _verdict_state(
    receipt: Receipt,
    verdict: Verdict,
    submissions: Mapping[str, SubmissionFacts],
    before: MatchState,
    now: datetime,
) -> MatchState:
    if isinstance(verdict, Join):
        joined = submissions[verdict.submission]
        by_first_id = verdict.matched_by is MatchedBy.submission_id
        return MatchState(
            id=receipt.id,
            state=states.JOINED,
            report=receipt.report,
            heuristic=not verdict.matched_by.is_exact and receipt.manual_submission is None,
            named_by_first_id=by_first_id and is_named_by_first_id(receipt.report, joined),
            matched_by=verdict.matched_by.value,
            submission=joined.id,
            call=joined.call,
        )
    heuristic = receipt.manual_submission is None
    base = MatchState(id=receipt.id, state=states.ORPHANED, report=receipt.report, heuristic=heuristic)
    if verdict.ignored:
        return replace(base, state=states.IGNORED, reason=verdict.reason)
    if before.state == states.IGNORED:
        return replace(base, state=states.IGNORED, reason=before.reason)
    next_match_at = before.next_match_at if before.state == states.ORPHANED else now + FIRST_RETRY
    return replace(base, reason=verdict.reason, next_match_at=next_match_at)


def _wait_keys(report: CallReport, state: MatchState) -> Sequence[str]:
    """Return the keys by which this callback is found once a submission, or the id of one, is recorded.

    A joined callback waits too, unless its first id or a person decided: it may carry an id, surer than what has joined
    it, that turns out to be another submission's, or an id that two submissions turn out to share.
    """
    if state.named_by_first_id or state.matched_by == MatchedBy.operator:
        return ()
    ids = {*report.ids}
    if report.message_id and state.matched_by not in _SURER_THAN_A_MESSAGE_ID:
        ids.add(report.message_id)
    keys = {k for id in ids for k in (id_key(id), base_id_key(id))}
    # our own ids are known from the start, so what one of them has joined need not wait for it
    exact = state.state == states.JOINED and not state.heuristic
    return sorted(keys if exact else keys | set(report.references))
