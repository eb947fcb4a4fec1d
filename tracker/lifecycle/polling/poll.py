"""Asks the provider about one submission when no callback comes, and records its answer as it does a callback."""

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
from tracker.domain.calls import Submission
from tracker.domain.matching.heuristics import MATCH_WINDOW
from tracker.errors import Conflict, NotFound, ProviderError
from tracker.lifecycle.joining.joiner import Joiner
from tracker.lifecycle.sending.exchange_evidence import make_exchange, mask_response
from tracker.lifecycle.timeline.call_state import load
from tracker.logs.redaction import masker_of
from tracker.providers.base import ExchangeFailure
from tracker.providers.registry import get_provider
from tracker.providers.transport import exchange
from tracker.store.calls.exchanges import Exchange, insert_exchange
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Connection, Database
from tracker.store.ids import new_id
from tracker.store.inbox import states
from tracker.store.inbox.match_queries import poll_evidence

log = structlog.get_logger()

#: pauses between polls of one submission; the last one repeats
_PAUSES: Final = tuple(timedelta(seconds=s) for s in (15, 30, 60, 120, 300, 900))


class Poller:
    """Asks the providers of the configured accounts."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], joiner: Joiner, clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._joiner, self._clock = database, accounts, joiner, clock

    async def poll(self, submission_id: str) -> StatusResult:
        """Ask about a submission and record what the provider reports; no reports mean that it does not know yet.

        Raises NotFound if the submission or its account does not exist, Conflict if the provider gave it no id,
        ProviderError, StorageUnavailable.
        """
        submission = await self._find(submission_id)
        if submission is None or (account := self._accounts.get(submission.account)) is None:
            raise NotFound
        if submission.submission_id is None:
            raise Conflict("The provider has given this submission no id, so it cannot be asked about it.")
        provider = get_provider(account.provider)
        requested_at = self._clock()
        request = provider.status_request(account, submission.submission_id)
        response = await exchange(request, timeout_s=account.timeout_s, proxy=account.proxy)
        # before it is parsed, because a link to a recording may hold the access token
        response = mask_response(response, masker_of(account.secrets))
        if isinstance(response, ExchangeFailure):
            raise ProviderError(f"The provider could not be asked: {response.message}")
        result = provider.parse_status_response(account, submission.submission_id, response)
        if result.reports:
            answered = make_exchange(
                id=new_id("ask"),
                kind="ask",
                submission=submission,
                request=request,
                response=response,
                requested_at=requested_at,
                answered_at=self._clock(),
            )
            answered = replace(answered, reports=result.reports)
            await asyncio.to_thread(self._database.write, lambda c: self._record(c, answered, result))
        log.info(
            "submission.polled", submission=submission.id, call=submission.call, reports=len(result.reports)
        )
        return result

    async def poll_until_known(self, submission_id: str, tries: int) -> datetime | None:
        """Poll a submission, and return when to poll it again: never if the provider knows, or a day after the request.

        tries: the number of polls, including this one. Raises StorageUnavailable.
        """
        try:
            if (await self.poll(submission_id)).reports:
                return None
        except ProviderError as error:
            log.warning("submission.poll_failed", submission=submission_id, tries=tries, error=str(error))
        except (NotFound, Conflict) as error:
            log.warning("submission.poll_failed", submission=submission_id, tries=tries, error=str(error))
            return None
        next_at = self._clock() + _PAUSES[min(tries, len(_PAUSES)) - 1]
        submission = await self._find(submission_id)
        if submission is None or submission.requested_at is None:
            return None
        return next_at if next_at < submission.requested_at + MATCH_WINDOW else None

    async def _find(self, submission_id: str) -> Submission | None:
        return await asyncio.to_thread(self._database.read, lambda c: find_submission(c, submission_id))

    def _record(self, c: Connection, answered: Exchange, result: StatusResult) -> None:
        states.lock_joining(c)  # before the lock of the call, as every joiner does
        calls = load(c, [answered.call], with_reports=True)
        state = calls.get(answered.call)
        if state is None:
            return
        insert_exchange(c, answered)
        reports = poll_evidence(answered.id, answered.answered_at, result.reports)
        state.derive(answered.submission, add=reports)
        calls.save(self._clock())
        self._joiner.rematch_number(c, state.submission(answered.submission))
