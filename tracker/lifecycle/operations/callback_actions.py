"""Joins and ignores callbacks for operators. Each act leaves an event on every call that it touches."""

from __future__ import annotations

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.calls import Reason
from tracker.domain.events import Decision, EventSource
from tracker.domain.matching.facts import SubmissionFacts
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.errors import Conflict, NotFound
from tracker.lifecycle.joining.joiner import Joiner
from tracker.lifecycle.operations.join_rules import require_same_number
from tracker.lifecycle.timeline.call_state import load, load_of_submissions
from tracker.lifecycle.timeline.event_factory import EventFactory
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import log as inbox_log
from tracker.store.inbox import match_queries, position, states
from tracker.store.inbox.states import MatchState

log = structlog.get_logger()


class CallbackActions:
    """What operators do with callbacks. Each act raises StorageUnavailable."""

    def __init__(self, database: Database, joiner: Joiner, clock: Clock = system_clock) -> None:
        self._database, self._joiner, self._clock = database, joiner, clock

    def join(
        self,
        callback_id: str,
        *,
        submission: str | None = None,
        submission_id: str | None = None,
        force: bool = False,
    ) -> None:
        """Join a callback to a submission, whatever it would match.

        submission: our id. submission_id: the provider's id. force: also join a callback about another phone number.
        Raises NotFound; NumberMismatch; Conflict if the callback holds no call report.
        """
        self._database.read(lambda c: _require_processed(c, callback_id))
        self._database.write(lambda c: self._join(c, callback_id, submission, submission_id, force))

    def ignore(self, callback_id: str) -> None:
        """Ignore a callback because it is about no call of ours. If it is joined, withdraw the join.

        A quarantined callback keeps its reason. Raises NotFound; Conflict if the callback was not processed yet.
        """
        self._database.read(lambda c: _require_processed(c, callback_id))
        self._database.write(lambda c: self._ignore(c, callback_id))

    def _join(
        self,
        c: Connection,
        callback_id: str,
        submission: str | None,
        submission_id: str | None,
        force: bool,
    ) -> None:
        states.lock_joining(c)
        before = _find_state(c, callback_id)
        receipt = next(iter(match_queries.receipts_including_ignored(c, [callback_id])), None)
        if receipt is None:
            raise Conflict(f"The callback is {before.state}: it holds no report that could belong to a call.")
        targets = _find_targets(c, receipt.account, submission, submission_id)
        if len(targets) != 1:
            number, id = "No" if not targets else "More than one", submission or submission_id
            raise NotFound(f"{number} submission of {receipt.account} has the id {id}.")
        target = targets[0]
        if not force:
            require_same_number(receipt, target)
        self._add_decisions(c, callback_id, before.submission, target.id)
        states.set_manual_match(c, callback_id, target.id)
        self._joiner.rematch_callbacks(c, receipt.account, [callback_id])
        for id in {before.submission, target.id}:
            if id is not None and (touched := find_submission(c, id)) is not None:
                self._joiner.rematch_number(c, touched)
        log.info("callback.joined", callback=callback_id, submission=target.id)

    def _ignore(self, c: Connection, callback_id: str) -> None:
        states.lock_joining(c)
        before = _find_state(c, callback_id)
        receipt = next(iter(match_queries.receipts_including_ignored(c, [callback_id])), None)
        if receipt is None:
            _ignore_without_report(c, before)
            return
        self._add_decisions(c, callback_id, before.submission, None)
        states.set_manual_match(c, callback_id, None)
        ignored = MatchState(
            id=callback_id, state=states.IGNORED, reason=Reason.operator, report=receipt.report
        )
        states.update(c, [ignored])
        states.add_wait_keys(c, receipt.account, {}, replace=[callback_id])
        if before.call and before.submission:
            calls = load(c, [before.call], with_reports=True)
            calls[before.call].derive(before.submission)
            calls.save(self._clock())
            self._joiner.rematch_number(c, calls[before.call].submission(before.submission))
        if (text := match_queries.duplicate_text(receipt.report)) is not None:
            # a callback that was joined as a duplicate of this one needs another reason now
            duplicates = match_queries.twin_receipts(c, receipt.account, {text})
            self._joiner.rematch_callbacks(
                c, receipt.account, [r.id for r in duplicates if r.id != callback_id]
            )
        log.info("callback.ignored", callback=callback_id)

    def _add_decisions(self, c: Connection, callback_id: str, old: str | None, new: str | None) -> None:
        """Add the operator's decision to the calls of the old and of the new submission. new: None to ignore."""
        ids = sorted({id for id in (old, new) if id is not None})
        calls = load_of_submissions(c, ids)
        now = self._clock()
        decision = Decision.ignore_callback if new is None else Decision.join_callback
        detail = {"decision": decision, "callback": callback_id, "from": old, "to": new}
        for id in ids:
            if (state := calls.of_submission(id)) is not None:
                events = EventFactory(state.submission(id), now, EventSource.operator)
                key = f"hand/{callback_id}/{now.isoformat()}"
                state.add(events.decision(key, Reason.operator, detail))
        calls.save(now)


def _require_processed(c: Connection, callback_id: str) -> None:
    """Raise NotFound for an unknown callback, Conflict for one that the joiner has not read yet."""
    joined = position.joined_position(c)
    if callback_id not in states.match_states(c, [callback_id]) and inbox_log.find_after(
        c, joined, callback_id
    ):
        raise Conflict("The callback is pending: it was not processed yet. Try again in a moment.")
    _find_state(c, callback_id)


def _find_state(c: Connection, callback_id: str) -> MatchState:
    state = states.match_states(c, [callback_id]).get(callback_id)
    if state is None:
        raise NotFound(f"There is no callback {callback_id}.")
    return state


def _find_targets(
    c: Connection, account: str, submission: str | None, submission_id: str | None
) -> list[SubmissionFacts]:
    """Return the submissions that an operator may mean: by the id as given, else by the id without its suffix."""
    if submission:
        return match_queries.submitted_by_keys(c, account, own=[submission])
    id = submission_id or ""
    exact = match_queries.submitted_by_keys(c, account, full=[id_key(id)])
    return exact or match_queries.submitted_by_keys(c, account, base=[base_id_key(id)])


def _ignore_without_report(c: Connection, before: MatchState) -> None:
    """Ignore a callback that holds no report, and so touches no call."""
    if before.state == states.PENDING:
        raise Conflict("The callback is pending: it was not processed yet. Try again in a moment.")
    if before.state == states.IGNORED:
        return
    reason = before.reason if before.state == states.QUARANTINED else Reason.operator
    states.set_manual_match(c, before.id, None)
    states.update(c, [MatchState(id=before.id, state=states.IGNORED, reason=reason)])
    log.info("callback.ignored", callback=before.id)
