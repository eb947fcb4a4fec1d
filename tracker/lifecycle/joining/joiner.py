"""Join callbacks from the inbox to submissions and write the events that follow.

The joiner reads the inbox behind its position. What a batch comes to, and the new position, are one transaction, so
each callback counts exactly once, however often a joiner is killed or however many joiners run.

The sender calls `match_after_accept` once a submission's id is committed. A callback that came earlier is found in
either order of the two transactions: if the joiner's comes first, the sender finds the orphan that it left; if it comes
later, the joiner sees the id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import Account
from tracker.domain.call_reports import NotACall, UnreadableCallback
from tracker.domain.calls import Submission
from tracker.domain.matching.heuristics import MATCH_WINDOW
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining.full_match import FIRST_RETRY, rematch
from tracker.lifecycle.joining.parse import ParsedCallback, parse, receipts_by_account
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import log as inbox_log
from tracker.store.inbox import match_queries, position, states
from tracker.store.inbox.states import MatchState
from tracker.store.queue import jobs

log = structlog.get_logger()

#: callbacks that are joined in one transaction: larger ones cost less per callback and hold the write lock longer
BATCH: Final = 250
#: pauses before an orphan is tried again; the last one repeats
_RETRY_PAUSES: Final = (FIRST_RETRY, *(timedelta(seconds=s) for s in (30, 120, 600, 3600, 21600)))
#: a callback that fits no submission of ours for so long is foreign
FOREIGN_AFTER: Final = timedelta(days=7)
_RETRIES_AT_ONCE: Final = 100


class Joiner:
    """Joins callbacks of the configured accounts."""

    def __init__(
        self,
        database: Database,
        accounts: Mapping[str, Account],
        clock: Clock = system_clock,
        *,
        batch: int = BATCH,
    ) -> None:
        self._database, self._accounts, self._clock, self._batch = database, accounts, clock, batch

    def join_batch(self) -> int:
        """Join the next callbacks of the inbox; return how many. Raises StorageUnavailable.

        Returns 0 if there are none, and if another joiner was faster: the caller then pauses and lets it go on.
        """
        before = self._database.read(position.joined_position)
        logged, requests = self._database.inbox.read(lambda c: inbox_log.read_after(c, before, self._batch))
        if not logged:
            return 0
        is_joined = self._join(before, parse(self._accounts, logged, requests))
        return len(logged) if is_joined else 0

    def join_left_pending(self) -> int:
        """Join callbacks that were left pending because their account was not configured; return how many."""
        positions = self._database.read(
            lambda c: states.pending_positions(c, self._accounts.keys(), self._batch)
        )
        if not positions:
            return 0
        # they have an outcome already, so they are matched anew instead of inserted
        requests = self._database.inbox.read(lambda c: inbox_log.requests_at(c, positions))
        heads = self._database.inbox.read(lambda c: inbox_log.heads_at(c, positions))
        parsed = parse(self._accounts, heads, requests)

        def work(c: Connection) -> None:
            states.lock_joining(c)
            removed = states.remove_pending(c, [p.logged.id for p in parsed])
            self._apply(c, [p for p in parsed if p.logged.id in removed])

        self._database.write(work)
        return len(parsed)

    def match_after_accept(self, submission: Submission, *, lock_timeout_s: float | None = None) -> None:
        """Match again what waits for a submission whose id, or refusal, was committed.

        lock_timeout_s: how long to wait for another joiner. Raises StorageUnavailable; the job for it is left then.
        """

        def work(c: Connection) -> None:
            states.lock_joining(c, lock_timeout_s=lock_timeout_s)
            ids = _early_callbacks(c, submission)
            rematch(c, submission.account, match_queries.receipts(c, ids), self._clock)
            jobs.drop(c, jobs.MATCH_EARLY, submission.id)

        self._database.write(work)

    def may_have_early_callbacks(self, c: Connection, submission: Submission) -> bool:
        """Return whether `match_after_accept` may have work once the transaction that stores the id ends. Never waits.

        A joiner that runs now may not see the id, and may commit its orphan later: then this returns True without
        looking. If none runs, none begins before that transaction ends, so what is found now is all that came early.
        """
        return not states.hold_off_joiners(c) or bool(_early_callbacks(c, submission))

    def match_early(self, submission_id: str) -> None:
        """Do `match_after_accept` for a sender that committed the id and then did not come to it."""
        submission = self._database.read(lambda c: find_submission(c, submission_id))
        if submission is not None:
            self.match_after_accept(submission)

    def retry_orphans(self, limit: int = _RETRIES_AT_ONCE) -> int:
        """Match orphans again whose time has come; return how many there were."""
        due = self._database.read(
            lambda c: states.due_for_retry(c, self._accounts.keys(), self._clock(), limit)
        )
        try:
            if due:
                self._database.write(lambda c: self._retry_orphans(c, due))
        except StorageUnavailable:
            raise
        except Exception:
            # one of them fails by our own mistake; it must not keep the others from being tried
            log.exception("orphans.retry_failed", count=len(due))
            self._database.write(
                lambda c: states.postpone_retry(c, [id for _, id in due], self._clock() + _RETRY_PAUSES[-1])
            )
            for orphan in due:
                self._retry_alone(orphan)
        return len(due)

    def rematch_callbacks(self, connection: Connection, account: str, ids: Collection[str]) -> None:
        """Match these callbacks again in the caller's transaction, and write what changed."""
        states.lock_joining(connection)
        rematch(connection, account, match_queries.receipts(connection, ids), self._clock)

    def rematch_number(self, connection: Connection, submission: Submission) -> None:
        """Match again what came for the number of a submission whose evidence changed, in the caller's transaction."""
        states.lock_joining(connection)
        since = submission.requested_at or submission.created_at
        found = match_queries.heuristic_candidates(
            connection, submission.account, [submission.to], since, since + MATCH_WINDOW
        )
        rematch(connection, submission.account, found, self._clock)

    def _join(self, before: int, parsed: Sequence[ParsedCallback]) -> bool:
        """Write what follows from a batch; return False if another joiner was faster.

        If a batch fails by our own mistake, halve it until the callback is found; that one is closed as unreadable.
        """
        try:
            return self._database.write(lambda c: self._join_in(c, before, parsed))
        except StorageUnavailable:
            raise
        except Exception as error:
            if len(parsed) > 1:
                log.exception("callbacks.join_failed", count=len(parsed))
                half = len(parsed) // 2
                middle = parsed[half - 1].logged.position
                return self._join(before, parsed[:half]) and self._join(middle, parsed[half:])
            log.exception("callback.join_failed", callback=parsed[0].logged.id)
            content = UnreadableCallback(reason=f"internal error: {type(error).__name__}")
            failed = parsed[0]._replace(content=content)
            return self._database.write(lambda c: self._join_in(c, before, [failed]))

    def _join_in(self, c: Connection, before: int, parsed: Sequence[ParsedCallback]) -> bool:
        states.lock_joining(c)
        if not position.advance(c, before, parsed[-1].logged.position):
            return False
        self._apply(c, parsed)
        return True

    def _apply(self, c: Connection, parsed: Sequence[ParsedCallback]) -> None:
        closed = [(p.logged, state) for p in parsed if (state := _final_state(p)) is not None]
        states.insert(c, closed)
        if closed:
            log.info("callbacks.closed", count=len(closed))
        logged = {p.logged.id: p.logged for p in parsed}
        for account, receipts in receipts_by_account(parsed).items():
            rematch(c, account, receipts, self._clock, new={r.id: logged[r.id] for r in receipts})

    def _retry_orphans(self, c: Connection, due: Iterable[tuple[str, str]]) -> None:
        states.lock_joining(c)
        now = self._clock()
        by_account: dict[str, list[str]] = {}
        for account, id in due:
            by_account.setdefault(account, []).append(id)
        for account, ids in by_account.items():
            retries = states.count_retry(c, ids)
            receipts = match_queries.receipts(c, ids)
            rematch(c, account, receipts, self._clock)
            reports = {r.id: r.report for r in receipts}
            still_orphaned = [
                replace(s, report=reports.get(id))
                for id, s in states.match_states(c, ids).items()
                if s.state == states.ORPHANED
            ]
            states.update(c, [_rescheduled(s, *retries[s.id], now) for s in still_orphaned])

    def _retry_alone(self, orphan: tuple[str, str]) -> None:
        try:
            self._database.write(lambda c: self._retry_orphans(c, [orphan]))
        except StorageUnavailable:
            raise
        except Exception:
            log.exception("orphan.retry_failed", callback=orphan[1])


def _early_callbacks(c: Connection, submission: Submission) -> set[str]:
    """Return the callbacks that may belong to a submission whose id has just become known."""
    keys = {submission.id}
    found: set[str] = set()
    if submission.submission_id is not None:
        keys |= {id_key(submission.submission_id), base_id_key(submission.submission_id)}
        key = id_key(submission.submission_id)
        found |= match_queries.shared_provider_id_callbacks(c, submission.account, key)
    found |= set(states.find_waiting(c, submission.account, keys))
    if submission.requested_at is not None:
        until = submission.requested_at + MATCH_WINDOW
        receipts = match_queries.heuristic_candidates(
            c, submission.account, [submission.to], submission.requested_at, until
        )
        found |= {r.id for r in receipts}
    return found


def _final_state(parsed: ParsedCallback) -> MatchState | None:
    """Return the state of a callback that is not to be matched."""
    row, content = parsed
    if content is None:
        # quarantined, a handshake, or of an account that is not configured now
        return MatchState(id=row.id, state=row.state, reason=row.reason)
    if isinstance(content, NotACall):
        return MatchState(id=row.id, state=states.IGNORED, reason=content.reason)
    if isinstance(content, UnreadableCallback):
        return MatchState(id=row.id, state=states.UNREADABLE, reason=content.reason)
    return None


def _rescheduled(state: MatchState, retries: int, received_at: datetime, now: datetime) -> MatchState:
    if now - received_at < FOREIGN_AFTER:
        pause = _RETRY_PAUSES[min(retries, len(_RETRY_PAUSES) - 1)]
        return replace(state, next_match_at=now + pause)
    if state.reason == "no-submission":
        return replace(state, state=states.IGNORED, reason="foreign", next_match_at=None)
    return replace(state, next_match_at=None)
