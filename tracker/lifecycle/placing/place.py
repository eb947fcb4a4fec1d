"""Records the wish for a call with a pending submission, before anything is sent."""

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
from tracker.lifecycle.placing.idempotency import IdempotentRequest, Placed, canonical_json, run_once
from tracker.lifecycle.placing.validation import validate_call_request
from tracker.lifecycle.sending.secret_variables import digest_secrets
from tracker.lifecycle.timeline.call_state import CallState
from tracker.store.calls.calls import insert_call
from tracker.store.calls.secrets import insert_secrets
from tracker.store.calls.submissions import insert_submission
from tracker.store.engine.database import Connection, Database
from tracker.store.ids import new_id
from tracker.store.queue import jobs
from tracker.store.queue.idempotency_keys import delete_keys_before

log = structlog.get_logger()

#: the process that places a call sends it at once; after this a worker does
_PLACER_GRACE: Final = timedelta(seconds=5)
#: how long Idempotency-Keys are kept; at least a day is promised
_KEYS_KEPT: Final = timedelta(hours=48)
_EMPTY_TIMELINE: Final = fold(())


class Placer:
    """Records calls for the configured accounts."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._clock = database, accounts, clock

    def place(self, fields: Mapping[str, Any], *, scope: str = "", key: str | None = None) -> Placed:
        """Record the call that the fields of a request describe, with a pending submission.

        scope: the client. key: its Idempotency-Key; the same key again returns the same call. Raises InvalidInput,
        which no key remembers; AccountIncomplete if the account has no access token; IdempotencyConflict if the key was
        used with other fields; StorageUnavailable.
        """
        wish = validate_call_request(fields, self._accounts)
        request = IdempotentRequest(scope=scope, key=key, content=canonical_json(fields))
        placed = run_once(self._database, request, lambda c: self._place(c, wish))
        log.info("call.placed", call=placed.call, account=placed.account, replayed=placed.is_replayed)
        return placed

    def delete_old_keys(self) -> int:
        """Delete Idempotency-Keys after 48 hours, and return how many. Raises StorageUnavailable."""
        return self._database.write(lambda c: delete_keys_before(c, self._clock() - _KEYS_KEPT))

    def _place(self, c: Connection, wish: CallWish) -> Placed:
        now = self._clock()
        secret_names = self._accounts[wish.account].secret_variables
        secrets = {name: value for name, value in wish.variables.items() if name in secret_names}
        values = wish.wish_values() | {"variables": digest_secrets(c, wish.variables, secrets.keys())}
        call = Call(**values, id=new_id("call"), created_at=now)
        submission = _new_submission(call, 1, Trigger.first, now)
        insert_call(c, call, _EMPTY_TIMELINE)
        insert_secrets(c, call.id, secrets)
        insert_submission(c, submission)
        jobs.plan(c, jobs.SEND, submission.id, call.account, now + _PLACER_GRACE)
        return Placed.of(submission)


def add_submission(
    c: Connection, state: CallState, *, trigger: Trigger, now: datetime, due_at: datetime
) -> Submission:
    """Add the next attempt to a loaded call, pending, and plan its sending. `CallStates.save` stores it."""
    submission = _new_submission(state.call, state.submissions[-1].number + 1, trigger, now)
    state.add_submission(submission)
    jobs.plan(c, jobs.SEND, submission.id, submission.account, due_at)
    return submission


def _new_submission(call: Call, number: int, trigger: Trigger, now: datetime) -> Submission:
    return Submission(
        id=new_id("sub"), call=call.id, account=call.account, to=call.to, bridge=call.bridge, flow_id=call.flow_id,
        interval=call.interval or 0, number=number, trigger=trigger, status=CallStatus.pending, outcome=None, lane=None,
        submission_id=None, refused=False, tries=0, owner=None, lease_until=None, requested_at=None, accepted_at=None,
        created_at=now,
    )  # fmt: skip
