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

from tracker.domain.accounts import Account
from tracker.domain.calls import Submission
from tracker.domain.matching import (
    GIVE_UP_AFTER,
    Receipt,
    base_key,
    id_key,
)
from tracker.domain.readings import NotACall, Reading, Unreadable
from tracker.errors import StorageUnavailable
from tracker.flow import straight
from tracker.flow.clock import Clock, system_clock
from tracker.flow.weighing import FIRST_LOOK, weigh
from tracker.providers.base import Incoming
from tracker.providers.registry import provider_named
from tracker.store import evidence, inbox, jobs, records
from tracker.store.database import Connection, Database

log = structlog.get_logger()

#: pauses between looks at an orphan; the last one repeats
_LOOKS: Final = (FIRST_LOOK, *(timedelta(seconds=s) for s in (30, 120, 600, 3600, 21600)))
#: what we did not place is given up after this
FOREIGN_AFTER: Final = timedelta(days=7)
_BATCH: Final = 500
_LOOKS_AT_ONCE: Final = 100
#: what each callback costs where it finds many others of its call is shared by a batch
_SMALLEST_BATCH: Final = 50
#: seconds; where somebody may wait meanwhile
HOLDING_S: Final = 0.025
#: and where nobody does: large batches cost less for each callback
HOLDING_ALONE_S: Final = 0.1
#: PostgreSQL stores beside it
_HOLDING_NOBODY_S: Final = 0.25
#: ids and references that are weighed of one callback; a record has one or two, a joke has thousands
_MOST_IDS: Final = 20


@dataclass(frozen=True, kw_only=True)
class _Read:
    raw: inbox.RawCallback
    said: Reading | NotACall | Unreadable


@dataclass(frozen=True, kw_only=True)
class Joined:
    """How many callbacks a batch had, and whether it was full, so that more may wait."""

    count: int
    more: bool

    def __bool__(self) -> bool:
        return self.count > 0


class Joiner:
    """Joins callbacks of the configured accounts."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._clock = database, accounts, clock
        #: of one callback of late, in seconds: how long it held the writer, and how long it took altogether
        self._one_holds_s = self._one_costs_s = HOLDING_S / _BATCH

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
        most = max(_SMALLEST_BATCH, min(_BATCH, int(holding_s / self._one_holds_s)))
        began = monotonic()
        raw = self._database.read(lambda c: inbox.pending(c, self._accounts.keys(), most))
        read = [self._read(r) for r in raw]
        if read:
            self._join(read, self._prepared(_receipts(read)))
            self._one_costs_s = _of_late(self._one_costs_s, (monotonic() - began) / len(read))
        return Joined(count=len(raw), more=len(raw) >= most)

    def _prepared(self, receipts: Mapping[str, list[Receipt]]) -> list[straight.Prepared]:
        try:
            return self._database.read(lambda c: self._work_out(c, receipts)) if receipts else []
        except StorageUnavailable:
            raise
        except Exception:  # whichever it is that we stumble over, it is found when they are joined one by one
            log.exception("callbacks.not_prepared", count=sum(map(len, receipts.values())))
            return []

    def _work_out(self, c: Connection, receipts: Mapping[str, list[Receipt]]) -> list[straight.Prepared]:
        found = (straight.prepare(c, account, group, self._clock()) for account, group in receipts.items())
        return [prepared for prepared in found if prepared is not None]

    def _join(self, read: Sequence[_Read], prepared: Sequence[straight.Prepared]) -> None:
        """Join these; one that cannot be joined costs only itself."""
        try:
            self._database.write(lambda c: self._take(c, read, prepared))
        except StorageUnavailable:
            raise
        except Exception as error:
            if len(read) > 1:
                half = len(read) // 2
                self._join(read[:half], [])
                self._join(read[half:], [])
                return
            if prepared:
                self._join(read, [])
                return
            log.exception("callback.not_joined", callback=read[0].raw.id)
            failed = inbox.Standing(
                id=read[0].raw.id, state=inbox.UNREADABLE, reason=f"our own error: {type(error).__name__}"
            )
            self._database.write(lambda c: inbox.write(c, [failed]))

    def look_for(self, submission: Submission) -> None:
        """After a submission's id, or its refusal, was committed: weigh again what waits for it or was taken for it."""
        keys = {submission.id}
        if submission.submission_id is not None:
            keys |= {id_key(submission.submission_id), base_key(submission.submission_id)}

        def work(c: Connection) -> None:
            inbox.lock_joining(c)
            ids = set(inbox.waiting_for(c, submission.account, keys))
            if submission.requested_at is not None:
                until = submission.requested_at + GIVE_UP_AFTER
                ids |= {
                    r.id
                    for r in evidence.loose_receipts(
                        c, submission.account, [submission.to], submission.requested_at, until
                    )
                }
            weigh(c, submission.account, evidence.receipts(c, ids), self._clock())
            jobs.drop(c, jobs.LOOK, submission.id)

        self._database.write(work)

    def look_for_early(self, submission_id: str) -> None:
        """`look_for`, where whoever committed the id did not come to it."""
        submission = self._database.read(lambda c: records.find_submission(c, submission_id))
        if submission is not None:
            self.look_for(submission)

    def look_again(self, limit: int = _LOOKS_AT_ONCE) -> int:
        """Look once more at orphans whose time has come; gives how many there were."""
        due = self._database.read(
            lambda c: inbox.due_for_a_look(c, self._accounts.keys(), self._clock(), limit)
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
                lambda c: inbox.put_off(c, [id for _, id in due], self._clock() + _LOOKS[-1])
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
        inbox.lock_joining(connection)
        weigh(connection, account, evidence.receipts(connection, ids), self._clock())

    def weigh_number(self, connection: Connection, submission: Submission) -> None:
        """Match anew what came for the number of a submission whose evidence changed, in the caller's transaction."""
        inbox.lock_joining(connection)
        since = submission.requested_at or submission.created_at
        found = evidence.loose_receipts(
            connection, submission.account, [submission.to], since, since + GIVE_UP_AFTER
        )
        weigh(connection, submission.account, found, self._clock())

    def _read(self, raw: inbox.RawCallback) -> _Read:
        account = self._accounts[raw.account]
        incoming = Incoming(
            method=raw.method, path=raw.path, query=raw.query, headers=raw.headers, body=raw.body
        )
        try:
            said = provider_named(account.provider).read_callback(account, incoming)
        except Exception as error:  # one that we stumble over must not stop those behind it
            log.exception("callback.not_read", callback=raw.id)
            said = Unreadable(reason=f"our own error: {type(error).__name__}")
        if isinstance(said, Reading) and max(len(said.ids), len(said.references)) > _MOST_IDS:
            said = replace(said, ids=said.ids[:_MOST_IDS], references=said.references[:_MOST_IDS])
        return _Read(raw=raw, said=said)

    def _take(self, c: Connection, read: Sequence[_Read], prepared: Sequence[straight.Prepared]) -> None:
        inbox.lock_joining(c)
        began = monotonic()  # with the turn to write, or others' waiting would be taken for work
        still = inbox.still_pending(c, [r.raw.id for r in read])
        done = {id for each in prepared for id in straight.write(c, each, still)}
        left = [r for r in read if r.raw.id in still and r.raw.id not in done]
        closed = [
            inbox.Standing(
                id=r.raw.id,
                state=inbox.IGNORED if isinstance(r.said, NotACall) else inbox.UNREADABLE,
                reason=r.said.reason,
            )
            for r in left
            if not isinstance(r.said, Reading)
        ]
        inbox.write(c, closed)
        for account, group in _receipts(left).items():
            weigh(c, account, group, self._clock(), fresh=True)
        self._one_holds_s = _of_late(self._one_holds_s, (monotonic() - began) / len(read))
        log.info("callbacks.read", count=len(still), straight=len(done), not_calls=len(closed))

    def _look_again(self, c: Connection, due: Iterable[tuple[str, str]]) -> None:
        now = self._clock()
        inbox.lock_joining(c)
        by_account: dict[str, list[str]] = {}
        for account, id in due:
            by_account.setdefault(account, []).append(id)
        for account, ids in by_account.items():
            looks = inbox.looked(c, ids)
            receipts = evidence.receipts(c, ids)
            weigh(c, account, receipts, self._clock())
            left = inbox.standings(c, ids)
            readings = {r.id: r.reading for r in receipts}
            inbox.write(
                c,
                [
                    _rescheduled(replace(s, reading=readings.get(id)), *looks[id], now)
                    for id, s in left.items()
                    if s.state == inbox.ORPHANED
                ],
            )


def _of_late(before: float, now: float) -> float:
    return before + 0.3 * (now - before)


def _receipts(read: Iterable[_Read]) -> dict[str, list[Receipt]]:
    """Those of them that are call records, by account."""
    receipts: dict[str, list[Receipt]] = {}
    for r in read:
        if isinstance(r.said, Reading):
            receipt = Receipt(
                id=r.raw.id,
                account=r.raw.account,
                lane=r.raw.lane,
                received_at=r.raw.received_at,
                reading=r.said,
            )
            receipts.setdefault(r.raw.account, []).append(receipt)
    return receipts


def _rescheduled(
    standing: inbox.Standing, looks: int, received_at: datetime, now: datetime
) -> inbox.Standing:
    if now - received_at < FOREIGN_AFTER:
        return replace(standing, look_again_at=now + _LOOKS[min(looks, len(_LOOKS) - 1)])
    if standing.reason == "no-submission":
        return replace(standing, state=inbox.IGNORED, reason="foreign", look_again_at=None)
    return replace(standing, look_again_at=None)
