"""Placing: a wish for a call becomes a record, once, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from tracker.domain.accounts import Account
from tracker.domain.calls import Call, CallStatus, Submission, Trigger
from tracker.domain.timeline import fold
from tracker.errors import IdempotencyConflict
from tracker.flow.clock import Clock, system_clock
from tracker.flow.requests import NewCall, read_request
from tracker.flow.secrecy import masked
from tracker.store import jobs, records, sending
from tracker.store.database import Connection, Database
from tracker.store.digests import digest as digest_of
from tracker.store.ids import new_id

log = structlog.get_logger()

#: after this a worker sends what its placer, who sends at once, did not
_PLACER_GRACE: Final = timedelta(seconds=5)
#: Idempotency-Keys are kept at least a day
KEYS_KEPT: Final = timedelta(hours=48)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A recorded call, and its first submission, which may be sent now."""

    call: str
    submission: str
    #: the request was seen before: nothing is to be sent
    replayed: bool = False


class Placer:
    """Records calls for the configured accounts."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._clock = database, accounts, clock

    def place(self, fields: Mapping[str, Any], *, scope: str = "", key: str | None = None) -> Placed:
        """Record the call that these fields ask for, with a pending submission.

        scope, key: who asks, and their Idempotency-Key; the same key again gives the same call. Raises InvalidInput
        (which no key remembers), IdempotencyConflict for the same key with other fields, StorageUnavailable.
        """
        wish = read_request(fields, self._accounts)
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            placed = self._database.write(lambda c: self._place(c, wish, canonical, scope, key))
        except _SeenMeanwhile:
            placed = self._database.write(lambda c: self._place(c, wish, canonical, scope, key))
        log.info("call.placed", call=placed.call, account=wish.account.name, replayed=placed.replayed)
        return placed

    def forget_old_keys(self) -> int:
        """Forget Idempotency-Keys that were kept long enough; gives how many."""
        return self._database.write(lambda c: sending.forget_requests(c, self._clock() - KEYS_KEPT))

    def _place(self, c: Connection, wish: NewCall, canonical: bytes, scope: str, key: str | None) -> Placed:
        now = self._clock()
        digest = digest_of(c, canonical) if key is not None else ""
        scope = digest_of(c, scope.encode()) if key is not None else ""
        if key is not None and (seen := sending.find_request(c, scope=scope, key=key)):
            return self._replay(c, seen, digest)
        secret = {n: v for n, v in wish.variables.items() if n in wish.account.secret_variables}
        call = Call(
            id=new_id("call"), account=wish.account.name, to=wish.to, bridge=wish.bridge, flow_id=wish.flow_id,
            audio=wish.audio, variables=masked(c, wish.variables, secret.keys()), metadata=wish.metadata,
            name=wish.name, interval=wish.interval, webhook_id=wish.webhook_id, campaign=wish.campaign,
            reference=wish.reference, rule=wish.rule, policy=None, not_before=wish.not_before,
            not_after=wish.not_after, created_at=now,
        )  # fmt: skip
        records.insert_call(c, call, secret, fold([]))
        if key is not None:
            seen = sending.remember_request(c, scope=scope, key=key, digest=digest, call_id=call.id, now=now)
            if seen is not None:  # the same request came by another connection at the same moment
                raise _SeenMeanwhile
        submission = new_submission(
            c, call, number=1, trigger=Trigger.first, now=now, due_at=now + _PLACER_GRACE
        )
        return Placed(call=call.id, submission=submission.id)

    def _replay(self, c: Connection, seen: tuple[str, str], digest: str) -> Placed:
        if seen[0] != digest:
            raise IdempotencyConflict
        first = records.submissions_of(c, [seen[1]])[0]
        return Placed(call=seen[1], submission=first.id, replayed=True)


class _SeenMeanwhile(Exception):
    """Rolls the second call back; the first is found when it is tried again."""


def new_submission(
    c: Connection, call: Call, *, number: int, trigger: Trigger, now: datetime, due_at: datetime
) -> Submission:
    """A pending submission of a locked (or new) call, and the due work that sends it."""
    submission = Submission(
        id=new_id("sub"), call=call.id, account=call.account, to=call.to, bridge=call.bridge, flow_id=call.flow_id,
        interval=call.interval or 0, number=number, trigger=trigger, status=CallStatus.pending, outcome=None, lane=None,
        submission_id=None, refused=False, tries=0, owner=None, lease_until=None, requested_at=None, accepted_at=None,
        created_at=now,
    )  # fmt: skip
    records.insert_submission(c, submission)
    jobs.plan(c, jobs.SEND, submission.id, call.account, due_at)
    return submission
