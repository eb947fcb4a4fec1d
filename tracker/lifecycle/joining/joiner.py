"""Joining: which submission each callback belongs to, and the events that follow.

A callback is read outside any transaction; then, one joiner at a time, everything that can matter is loaded, matched as
a whole (`domain.matching.match`), and what changed is written. Whoever commits a submission's id calls `look_for`
afterwards, so that a callback which came earlier is found: the joiner's turn comes either before that commit, and then
`look_for` sees its orphan, or after, and then it sees the id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import Account
from tracker.domain.call_reports import CallReport, NotACall
from tracker.domain.calls import Submission
from tracker.domain.matching.heuristics import MATCH_WINDOW
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining import fast_path, parse
from tracker.lifecycle.joining.full_match import FIRST_LOOK, rematch
from tracker.lifecycle.joining.idle_timeout import Standstill
from tracker.lifecycle.joining.parse import ParsedCallback
from tracker.lifecycle.joining.prefetch import Pipeline
from tracker.store.calls import records
from tracker.store.engine.database import Connection, Database, is_idle_timeout
from tracker.store.inbox import match_queries, states
from tracker.store.queue import jobs

log = structlog.get_logger()

#: pauses between looks at an orphan; the last one repeats
_LOOKS: Final = (FIRST_LOOK, *(timedelta(seconds=s) for s in (30, 120, 600, 3600, 21600)))
#: what we did not place is given up after this
FOREIGN_AFTER: Final = timedelta(days=7)
#: callbacks that are written at once
_MOST: Final = 500
#: what each callback costs where it finds many others of its call is shared by those that are written with it
_FEWEST: Final = 50
_LOOKS_AT_ONCE: Final = 100
#: seconds; where somebody may wait meanwhile
HOLDING_S: Final = 0.025
#: and where nobody does: large batches cost less for each callback
HOLDING_ALONE_S: Final = 0.1
#: PostgreSQL stores beside it
_HOLDING_NOBODY_S: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Joined:
    """How many callbacks were read and joined, and whether more may wait."""

    count: int
    more: bool

    def __bool__(self) -> bool:
        return self.count > 0


class _Holding:
    """How long callbacks of one kind hold the writer, by what they did of late."""

    def __init__(self) -> None:
        self._one_s = HOLDING_S / _MOST

    def took(self, seconds: float, count: int) -> None:
        self._one_s = _of_late(self._one_s, seconds / count)

    def fitting(self, holding_s: float) -> int:
        """How many to write at once to be done in about so many seconds."""
        return max(_FEWEST, min(_MOST, int(holding_s / self._one_s)))


class Joiner:
    """Joins callbacks of the configured accounts."""

    def __init__(
        self,
        database: Database,
        accounts: Mapping[str, Account],
        clock: Clock = system_clock,
        *,
        beside: bool = False,
    ) -> None:
        """beside: when many callbacks come, have them worked out in a process of its own; `close` ends it."""
        self._database, self._accounts, self._clock = database, accounts, clock
        self._pipeline = Pipeline(database, accounts, clock, beside=beside)
        #: how long straight ones and others hold the writer
        self._straight_holds, self._others_hold = _Holding(), _Holding()
        #: of one callback of late, in seconds, everything
        self._one_costs_s = HOLDING_S / _MOST
        #: when it had the turn to write; others' waiting for it is not its work
        self._turn_at = 0.0
        self._standstill = Standstill()

    @property
    def can_join(self) -> float:
        """How many callbacks a second, by what they have cost of late."""
        return 1 / self._one_costs_s

    def join_pending(self, *, holding_s: float = HOLDING_S) -> Joined:
        """Read and join the oldest callbacks that nobody has read.

        What can be known of them beforehand is worked out while others write. holding_s: SQLite's one writer is busy
        with the rest for about so many seconds; who stores callbacks waits for it.
        """
        if not self._database.is_sqlite:
            holding_s = _HOLDING_NOBODY_S
        began, left = monotonic(), 0
        piece = self._pipeline.next(
            self._straight_holds.fitting(holding_s), self._others_hold.fitting(holding_s)
        )
        if piece:
            left = self._join(piece)
            self._one_costs_s = _of_late(self._one_costs_s, (monotonic() - began) / len(piece))
        return Joined(count=len(piece) - left, more=self._pipeline.more or left > 0)

    def close(self) -> None:
        """End what was started. Nobody joins meanwhile."""
        self._pipeline.close()

    def _join(self, piece: fast_path.Prepared | Sequence[ParsedCallback]) -> int:
        """Gives how many of it are pending still."""
        holds = self._straight_holds if isinstance(piece, fast_path.Prepared) else self._others_hold
        try:
            # without it they are pending still
            left = self._database.write(lambda c: self._take(c, piece), lasting=False)
            took_s = monotonic() - self._turn_at
            holds.took(took_s, len(piece))
            self._standstill.went_well(took_s)
        except StorageUnavailable as error:
            if is_idle_timeout(error):
                self._standstill.reached()
            raise
        except (
            Exception
        ):  # whichever it is, it is found when they are joined in smaller parts, and one by one
            log.exception("callbacks.not_joined", count=len(piece))
            self._join_in_parts(_ids(piece))
            return 0
        return left

    def _join_in_parts(self, ids: Sequence[str]) -> None:
        """Join these without anything that was worked out; one that cannot be joined costs only itself."""
        try:
            self._database.write(lambda c: self._take_anew(c, ids))
        except StorageUnavailable:
            raise
        except Exception as error:
            if len(ids) > 1:
                half = len(ids) // 2
                self._join_in_parts(ids[:half])
                self._join_in_parts(ids[half:])
                return
            log.exception("callback.not_joined", callback=ids[0])
            failed = states.MatchState(
                id=ids[0], state=states.UNREADABLE, reason=f"our own error: {type(error).__name__}"
            )
            self._database.write(lambda c: states.write_match_states(c, [failed]))

    def look_for(self, submission: Submission, *, patience_s: float | None = None) -> None:
        """After a submission's id, or its refusal, was committed: weigh again what waits for it or was taken for it.

        patience_s: wait so long for whoever joins now. Raises StorageUnavailable; its due work is left then.
        """

        def work(c: Connection) -> None:
            self._lock(c, patience_s)
            ids = _early_callbacks(c, submission)
            rematch(c, submission.account, match_queries.receipts(c, ids), self._clock)
            jobs.drop(c, jobs.MATCH_EARLY, submission.id)

        self._database.write(work)

    def may_have_early_callbacks(self, c: Connection, submission: Submission) -> bool:
        """Return whether `look_for` may have work to do, once the transaction that stores the submission's id ends.

        A joiner that runs now may not see the id, and commit its orphan later: then this returns True without looking.
        If none runs, none begins before that transaction ends, so what is found now is all that was early. Never waits.
        """
        return not states.hold_off_joiners(c) or bool(_early_callbacks(c, submission))

    def look_for_early(self, submission_id: str) -> None:
        """`look_for`, where whoever committed the id did not come to it."""
        submission = self._database.read(lambda c: records.find_submission(c, submission_id))
        if submission is not None:
            self.look_for(submission)

    def look_again(self, limit: int = _LOOKS_AT_ONCE) -> int:
        """Look once more at orphans whose time has come; gives how many there were."""
        due = self._database.read(
            lambda c: states.due_for_retry(c, self._accounts.keys(), self._clock(), limit)
        )
        try:
            if due:
                self._database.write(lambda c: self._look_again(c, due))
        except StorageUnavailable:
            raise
        except Exception:
            # whichever it is, it must not keep the others from being looked at
            log.exception("callbacks.not_looked_at", count=len(due))
            self._database.write(
                lambda c: states.postpone_retry(c, [id for _, id in due], self._clock() + _LOOKS[-1])
            )
            for one in due:
                self._look_alone(one)
        return len(due)

    def _look_alone(self, one: tuple[str, str]) -> None:
        try:
            self._database.write(lambda c: self._look_again(c, [one]))
        except StorageUnavailable:
            raise
        except Exception:
            log.exception("callback.not_looked_at", callback=one[1])

    def weigh_again(self, connection: Connection, account: str, ids: Collection[str]) -> None:
        """Match these callbacks anew, in the caller's transaction, and write what changed."""
        self._lock(connection)
        rematch(connection, account, match_queries.receipts(connection, ids), self._clock)

    def weigh_number(self, connection: Connection, submission: Submission) -> None:
        """Match anew what came for the number of a submission whose evidence changed, in the caller's transaction."""
        self._lock(connection)
        since = submission.requested_at or submission.created_at
        found = match_queries.heuristic_candidates(
            connection, submission.account, [submission.to], since, since + MATCH_WINDOW
        )
        rematch(connection, submission.account, found, self._clock)

    def _lock(self, c: Connection, patience_s: float | None = None) -> None:
        states.lock_joining(c, patience_s=patience_s, rests_s=self._standstill.limit_s)

    def _take(self, c: Connection, piece: fast_path.Prepared | Sequence[ParsedCallback]) -> int:
        """Write what follows from it; gives how many are pending still."""
        self._lock(c)
        self._turn_at = monotonic()
        if isinstance(piece, fast_path.Prepared):
            fallen = states.still_pending(c, fast_path.write(c, piece, self._clock))
            # where they are many, the rest is worked out anew some time
            some = sorted(fallen)[: self._others_hold.fitting(HOLDING_S)]
            said: Sequence[ParsedCallback] = parse.read(self._accounts, states.requests(c, some))
            left = len(fallen) - len(some)
        else:
            pending = states.still_pending(c, _ids(piece))
            said, left = [s for s in piece if s.id in pending], 0
        self._weigh(c, said)
        return left

    def _take_anew(self, c: Connection, ids: Sequence[str]) -> None:
        self._lock(c)
        self._weigh(c, parse.read(self._accounts, states.requests(c, ids)))

    def _weigh(self, c: Connection, said: Sequence[ParsedCallback]) -> None:
        """Join what was pending until now by all that bears on it, and close what is no record of a call."""
        closed = [
            states.MatchState(
                id=s.id,
                state=states.IGNORED if isinstance(s.what, NotACall) else states.UNREADABLE,
                reason=s.what.reason,
            )
            for s in said
            if not isinstance(s.what, CallReport)
        ]
        states.write_match_states(c, closed)
        if closed:
            log.info("callbacks.closed", count=len(closed))
        for account, group in parse.receipts(said).items():
            rematch(c, account, group, self._clock, fresh=True)

    def _look_again(self, c: Connection, due: Iterable[tuple[str, str]]) -> None:
        self._lock(c)
        now = self._clock()
        by_account: dict[str, list[str]] = {}
        for account, id in due:
            by_account.setdefault(account, []).append(id)
        for account, ids in by_account.items():
            looks = states.count_retry(c, ids)
            receipts = match_queries.receipts(c, ids)
            rematch(c, account, receipts, self._clock)
            left = states.match_states(c, ids)
            readings = {r.id: r.report for r in receipts}
            states.write_match_states(
                c,
                [
                    _rescheduled(replace(s, reading=readings.get(id)), *looks[id], now)
                    for id, s in left.items()
                    if s.state == states.ORPHANED
                ],
            )


def _early_callbacks(c: Connection, submission: Submission) -> set[str]:
    """Return the callbacks that wait for a submission, or whose match its id may change."""
    keys = {submission.id}
    ids: set[str] = set()
    if submission.submission_id is not None:
        key = id_key(submission.submission_id)
        keys |= {key, base_id_key(submission.submission_id)}
        ids |= match_queries.shared_provider_id_callbacks(c, submission.account, key)
    ids |= set(states.find_waiting(c, submission.account, keys))
    if submission.requested_at is not None:
        until = submission.requested_at + MATCH_WINDOW
        found = match_queries.heuristic_candidates(
            c, submission.account, [submission.to], submission.requested_at, until
        )
        ids |= {r.id for r in found}
    return ids


def _ids(piece: fast_path.Prepared | Sequence[ParsedCallback]) -> list[str]:
    if isinstance(piece, fast_path.Prepared):
        return [claim.receipt for claim in piece.claims]
    return [said.id for said in piece]


def _of_late(before: float, now: float) -> float:
    return before + 0.3 * (now - before)


def _rescheduled(
    standing: states.MatchState, looks: int, received_at: datetime, now: datetime
) -> states.MatchState:
    if now - received_at < FOREIGN_AFTER:
        return replace(standing, look_again_at=now + _LOOKS[min(looks, len(_LOOKS) - 1)])
    if standing.reason == "no-submission":
        return replace(standing, state=states.IGNORED, reason="foreign", look_again_at=None)
    return replace(standing, look_again_at=None)
