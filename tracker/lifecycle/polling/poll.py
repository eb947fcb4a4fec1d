"""Asking: what the provider says of one submission when no callback comes. The answer is evidence like a callback."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import Account
from tracker.domain.call_reports import StatusResult
from tracker.domain.matching.heuristics import MATCH_WINDOW
from tracker.errors import Conflict, NotFound, ProviderError
from tracker.lifecycle.joining.joiner import Joiner
from tracker.lifecycle.sending.exchanges import mask_result, reply_fields
from tracker.lifecycle.timeline.call_state import load
from tracker.logs.redaction import MASK, masker_of
from tracker.providers.base import ExchangeFailure, HttpRequest
from tracker.providers.registry import get_provider
from tracker.providers.transport import exchange
from tracker.store.calls.exchanges import Exchange, insert_exchange
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Connection, Database
from tracker.store.ids import new_id
from tracker.store.inbox import states
from tracker.store.inbox.match_queries import poll_evidence

log = structlog.get_logger()

#: pauses between questions about one submission; the last one repeats
_PAUSES: Final = tuple(timedelta(seconds=s) for s in (15, 30, 60, 120, 300, 900))


class Poller:
    """Asks the provider of each configured account."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], joiner: Joiner, clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._joiner, self._clock = database, accounts, joiner, clock

    async def ask(self, submission_id: str) -> StatusResult:
        """Ask what became of a submission, and record what is said; an empty poll means "not yet known".

        Raises NotFound, Conflict where the provider gave it no id to ask by, ProviderError, StorageUnavailable.
        """
        submission = await asyncio.to_thread(self._database.read, lambda c: find_submission(c, submission_id))
        if submission is None or (account := self._accounts.get(submission.account)) is None:
            raise NotFound
        if submission.submission_id is None:
            raise Conflict("The provider has given this submission no id, so it cannot be asked about it.")
        provider = get_provider(account.provider)
        asked_at = self._clock()
        request = provider.status_request(account, submission.submission_id)
        result = await exchange(request, timeout_s=account.timeout_s, proxy=account.proxy)
        # before it is parsed, because a link to a recording may hold the token
        result = mask_result(result, masker_of(account.secrets))
        kept = Exchange(
            id=new_id("ask"), kind="ask", call=submission.call, submission=submission.id, requested_at=asked_at,
            answered_at=self._clock(), method=request.method, url=request.url, request_headers=_told(request),
            request_body=request.body, **reply_fields(result),
        )  # fmt: skip
        if isinstance(result, ExchangeFailure):
            raise ProviderError(f"The provider could not be asked: {result.message}")
        poll = provider.parse_status_response(account, submission.submission_id, result)
        if poll.reports:
            await asyncio.to_thread(self._database.write, lambda c: self._record(c, kept, poll))
        log.info(
            "submission.asked", submission=submission.id, call=submission.call, records=len(poll.reports)
        )
        return poll

    async def ask_until_known(self, submission_id: str, tries: int) -> datetime | None:
        """Ask, for due work; gives when to ask again: as long as the provider does not know yet, or cannot be asked.

        tries: how often it was asked, this time included. A day after the request nobody asks any more. Raises
        StorageUnavailable.
        """
        known = False
        try:
            known = bool((await self.ask(submission_id)).reports)
        except ProviderError as error:
            log.warning("submission.not_asked", submission=submission_id, tries=tries, error=str(error))
        except (NotFound, Conflict) as error:
            log.warning("submission.not_asked", submission=submission_id, error=str(error))
            return None
        if known:
            return None
        again = self._clock() + _PAUSES[min(tries, len(_PAUSES)) - 1]
        submission = await asyncio.to_thread(self._database.read, lambda c: find_submission(c, submission_id))
        if submission is None or submission.requested_at is None:
            return None
        return again if again < submission.requested_at + MATCH_WINDOW else None

    def _record(self, c: Connection, kept: Exchange, poll: StatusResult) -> None:
        states.lock_joining(c)  # before any call, as every joiner does
        calls = load(c, [kept.call], with_reports=True)
        state = calls.get(kept.call)
        if state is None:
            return
        insert_exchange(c, replace(kept, reports=poll.reports))
        state.derive(kept.submission, add=poll_evidence(kept.id, kept.answered_at, poll.reports))
        calls.save(self._clock())
        self._joiner.weigh_number(c, state.submission(kept.submission))


def _told(request: HttpRequest) -> tuple[tuple[bytes, bytes], ...]:
    hidden = ((k, MASK if k.lower() == "authorization" else v) for k, v in request.headers.items())
    return tuple((k.encode(), v.encode()) for k, v in hidden)
