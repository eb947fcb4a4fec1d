"""Delivers callbacks over HTTP, and repeats what was not answered 200 or 202."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx

from tracker.simulator.options import SimulatorOptions, Webhook, uri_problem
from tracker.simulator.state import Delivery
from tracker.simulator.thundersms.callback_payloads import CallbackRequest, headers

#: The first attempt and two more: what the platform documents for its other channels.
ATTEMPTS = 3
#: How many callbacks are under way at the same time.
HANDS = 100


class CallbackSender:
    """`transport` replaces the network in tests. Nothing is posted to strangers: see `uri_problem`."""

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
        self._hands = asyncio.Semaphore(HANDS)

    async def deliver(self, letter: CallbackRequest, record: Callable[[Delivery], None]) -> None:
        """Post a letter until it is answered 200 or 202, at most three times; `record` hears of each."""
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                await self._pause(self._options.repeat_pause_s)
            delivery = await self._attempt(letter, attempt)
            record(delivery)
            if delivery.accepted:
                return

    async def verify(self, webhook: Webhook, challenge: str) -> str | None:
        """The handshake: does this address echo our challenge? None if so, else why not, as a sentence."""
        parts = urlsplit(webhook.uri)
        query = "&".join(filter(None, (parts.query, urlencode({"token": webhook.token}))))
        body = json.dumps({"validation_key": webhook.token, "challenge": challenge}).encode()
        try:
            response = await self._request(
                "POST", urlunsplit(parts._replace(query=query)), headers(webhook, "application/json"), body
            )
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, PermissionError) as failure:
            return f"The uri did not answer the verification request: {_name(failure)}."
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
        """Close the connections; a later delivery opens new ones."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _attempt(self, letter: CallbackRequest, attempt: int) -> Delivery:
        at, code, error = self._now(), None, None
        try:
            response = await self._request(letter.method, letter.url, letter.headers, letter.body)
            code = response.status_code
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, PermissionError) as failure:
            error = _name(failure)
        return Delivery(
            at=at,
            webhook_id=letter.webhook_id,
            attempt=attempt,
            method=letter.method,
            url=letter.url,
            style=letter.style.value,
            body=letter.body.decode("utf-8", "replace"),
            status_code=code,
            error=error,
        )

    async def _request(self, method: str, url: str, head: Mapping[str, str], body: bytes) -> httpx.Response:
        problem = uri_problem(url, allow_remote=self._options.allow_remote)
        if problem:
            raise PermissionError(problem)
        if self._client is None:
            # No proxy from the environment: a callback to 127.0.0.1 must not leave the machine.
            self._client = httpx.AsyncClient(
                trust_env=False,
                follow_redirects=False,
                timeout=self._options.callback_timeout_s,
                limits=httpx.Limits(max_connections=HANDS, max_keepalive_connections=HANDS),
                transport=self._transport,
            )
        # Waiting for a free hand is not the receiver's fault; only then does its time begin, and it ends once.
        async with self._hands, asyncio.timeout(self._options.callback_timeout_s):
            return await self._client.request(method, url, headers=head, content=body)


def _name(failure: Exception) -> str:
    return str(failure) if isinstance(failure, PermissionError) else type(failure).__name__
