"""Posts callbacks over HTTP, and repeats those that are not answered 200 or 202."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx

from tracker.simulator.options import SimulatorOptions, Webhook, find_uri_problem
from tracker.simulator.state import CallbackAttempt
from tracker.simulator.thundersms.callback_payloads import CallbackRequest, webhook_headers

#: The first attempt and two more: what the platform documents for its other channels.
MAX_ATTEMPTS = 3
#: Callbacks that are under way at the same time.
MAX_CONCURRENT = 100


class CallbackSender:
    """A client that posts to webhooks. It posts nothing to strangers: see `find_uri_problem`.

    now: the clock. pause: sleeps for a number of simulated seconds. transport: replaces the network in tests.
    """

    def __init__(
        self,
        options: SimulatorOptions,
        *,
        now: Callable[[], datetime],
        pause: Callable[[float], Awaitable[None]],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._options = options
        self._now = now
        self._pause = pause
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def deliver(
        self, callback: CallbackRequest, record_attempt: Callable[[CallbackAttempt], None]
    ) -> None:
        """Post a callback until it is answered 200 or 202, at most three times. Each attempt is recorded."""
        for number in range(1, MAX_ATTEMPTS + 1):
            if number > 1:
                await self._pause(self._options.repeat_pause_s)
            attempt = await self._attempt(callback, number)
            record_attempt(attempt)
            if attempt.is_accepted:
                return

    async def verify(self, webhook: Webhook, challenge: str) -> str | None:
        """Try the handshake with an address: it must echo the challenge.

        Return None if it does, otherwise why it does not, as a sentence.
        """
        parts = urlsplit(webhook.uri)
        query = "&".join(filter(None, (parts.query, urlencode({"token": webhook.token}))))
        url = urlunsplit(parts._replace(query=query))
        body = json.dumps({"validation_key": webhook.token, "challenge": challenge}).encode()
        try:
            response = await self._request("POST", url, webhook_headers(webhook, "application/json"), body)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, PermissionError) as error:
            return f"The uri did not answer the verification request: {_failure_text(error)}."
        if response.status_code != 200:
            return f"The uri answered the verification request with {response.status_code} instead of 200."
        try:
            echoed = response.json()
        except ValueError:
            echoed = None
        if not isinstance(echoed, dict) or echoed.get("challenge") != challenge:
            return "The uri did not answer the verification request with its challenge."
        return None

    async def close(self) -> None:
        """Close the connections. A later delivery opens new ones."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _attempt(self, callback: CallbackRequest, number: int) -> CallbackAttempt:
        at, status_code, error = self._now(), None, None
        try:
            response = await self._request(callback.method, callback.url, callback.headers, callback.body)
            status_code = response.status_code
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, PermissionError) as failure:
            error = _failure_text(failure)
        return CallbackAttempt(
            at=at,
            webhook_id=callback.webhook_id,
            attempt=number,
            method=callback.method,
            url=callback.url,
            style=callback.style.value,
            body=callback.body.decode("utf-8", "replace"),
            status_code=status_code,
            error=error,
        )

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> httpx.Response:
        problem = find_uri_problem(url, allow_remote=self._options.allow_remote)
        if problem:
            raise PermissionError(problem)
        if self._client is None:
            # No proxy from the environment: a callback to 127.0.0.1 must not leave the machine.
            self._client = httpx.AsyncClient(
                trust_env=False,
                follow_redirects=False,
                timeout=self._options.callback_timeout_s,
                limits=httpx.Limits(max_connections=MAX_CONCURRENT, max_keepalive_connections=MAX_CONCURRENT),
                transport=self._transport,
            )
        # The time-out begins with the slot, because the receiver is not to blame for the waiting before.
        async with self._slots, asyncio.timeout(self._options.callback_timeout_s):
            return await self._client.request(method, url, headers=headers, content=body)


def _failure_text(failure: Exception) -> str:
    return str(failure) if isinstance(failure, PermissionError) else type(failure).__name__
