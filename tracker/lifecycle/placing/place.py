"""Placing: a wish for a call becomes a record, once, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import Account
from tracker.domain.calls import Call, CallStatus, Submission, Trigger
from tracker.domain.timeline.fold import fold
from tracker.domain.wish.call_wish import CallWish
from tracker.lifecycle.operations.pauses import require_complete_database
from tracker.lifecycle.placing.idempotency import (
    IdempotentRequest,
    Placed,
    canonical_json,
    find_replay,
    remember_request,
    run_once,
)
from tracker.lifecycle.placing.validation import validate_call_request
from tracker.lifecycle.sending.secret_variables import masked
from tracker.lifecycle.timeline.call_state import CallState
from tracker.store.calls.calls import insert_call
from tracker.store.calls.secrets import insert_secrets
from tracker.store.calls.submissions import insert_submission
from tracker.store.engine.database import Connection, Database
from tracker.store.ids import new_id
from tracker.store.queue import jobs
from tracker.store.queue.idempotency_keys import delete_keys_before

log = structlog.get_logger()

#: after this a worker sends what its placer, who sends at once, did not
_PLACER_GRACE: Final = timedelta(seconds=5)
#: Idempotency-Keys are kept at least a day
KEYS_KEPT: Final = timedelta(hours=48)
#: of a call without events
_NOTHING_YET: Final = fold(())


class Placer:
    """Records calls for the configured accounts."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._clock = database, accounts, clock

    def place(self, fields: Mapping[str, Any], *, scope: str = "", key: str | None = None) -> Placed:
        """Record the call that these fields ask for, with a pending submission.

        scope, key: who asks, and their Idempotency-Key; the same key again gives the same call. Raises InvalidInput
        (which no key remembers; AccountIncomplete where the account has no token), IdempotencyConflict for the same key
        with other fields, IncompleteCopy, StorageUnavailable.
        """
        wish = validate_call_request(fields, self._accounts)
        asked = IdempotentRequest(scope=scope, key=key, content=canonical_json(fields))
        placed = run_once(self._database, lambda c: self._place(c, wish, asked))
        log.info("call.placed", call=placed.call, account=wish.account, replayed=placed.replayed)
        return placed

    def forget_old_keys(self) -> int:
        """Forget Idempotency-Keys that were kept long enough; gives how many."""
        return self._database.write(lambda c: delete_keys_before(c, self._clock() - KEYS_KEPT))

    def _place(self, c: Connection, wish: CallWish, asked: IdempotentRequest) -> Placed:
        if before := find_replay(c, asked):
            return before
        require_complete_database(c)
        now = self._clock()
        hidden = self._accounts[wish.account].secret_variables
        secret = {name: value for name, value in wish.variables.items() if name in hidden}
        values = wish.wish_values() | {"variables": masked(c, wish.variables, secret.keys())}
        call = Call(**values, id=new_id("call"), created_at=now)
        submission = _new_submission(call, 1, Trigger.first, now)
        insert_call(c, call, _NOTHING_YET)
        insert_secrets(c, call.id, secret)
        insert_submission(c, submission)
        remember_request(c, asked, call.id, now)
        jobs.plan(c, jobs.SEND, submission.id, call.account, now + _PLACER_GRACE)
        return Placed(call=call.id, submission=submission.id, account=call.account)


def add_submission(
    c: Connection, state: CallState, *, trigger: Trigger, now: datetime, due_at: datetime
) -> Submission:
    """Add the next attempt to a loaded call, pending, and plan its sending. `CallStates.save` stores it."""
    new = _new_submission(state.call, state.submissions[-1].number + 1, trigger, now)
    state.add_submission(new)
    jobs.plan(c, jobs.SEND, new.id, new.account, due_at)
    return new


def _new_submission(call: Call, number: int, trigger: Trigger, now: datetime) -> Submission:
    return Submission(
        id=new_id("sub"), call=call.id, account=call.account, to=call.to, bridge=call.bridge, flow_id=call.flow_id,
        interval=call.interval or 0, number=number, trigger=trigger, status=CallStatus.pending, outcome=None, lane=None,
        submission_id=None, refused=False, tries=0, owner=None, lease_until=None, requested_at=None, accepted_at=None,
        created_at=now,
    )  # fmt: skip
