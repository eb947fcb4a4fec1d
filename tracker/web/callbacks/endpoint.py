"""The provider's side: `POST|PUT|GET /callbacks/{account}` and `/callbacks/{account}/{lane}`.

A request is verified, stored, and only then answered; what it says is read afterwards. The checks stand in the order in
which they are made. Thousands a second come this way, so it stands in front of the routes, and makes no objects that
only other requests need.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from collections.abc import Mapping
from typing import Final

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tracker.domain.accounts import Account
from tracker.domain.call_reports import WebhookChallenge
from tracker.errors import StorageUnavailable
from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.providers.registry import provider_named
from tracker.store.inbox.log import NewCallback
from tracker.store.inbox.states import IGNORED
from tracker.web.callbacks.inbound_callback import HANDSHAKE_BYTES, InboundCallback
from tracker.web.http import body as bodies
from tracker.web.http.problems import RETRY_AFTER_S, internal_error, problem
from tracker.web.state import State

log = structlog.get_logger()

METHODS: Final = ("POST", "PUT", "GET")
#: the provider gives up after 3 seconds
STORE_WITHIN_S: Final = 2.5
_QUARANTINE_BYTES: Final = 64 * 1024
#: how long the body of somebody who is not believed is waited for: where it may be the handshake, and else
_HANDSHAKE_WAIT_S: Final = 1.0
_QUARANTINE_WAIT_S: Final = 0.25

_BEFORE: Final = "/callbacks/"
ADDRESSES: Final = (_BEFORE + "{account}", _BEFORE + "{account}/{lane:path}")


#: so many refused callbacks have a line of their own in the log within so many seconds
_TOLD: Final = 20
_TOLD_PAUSE_S: Final = 1.0


class _Json(Response):
    media_type = "application/json"


OK: Final = _Json(b'{"ok":true}')


class Callbacks:
    """The ASGI application behind the addresses that it `owns`."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._providers = {name: provider_named(account.provider) for name, account in accounts.items()}
        self.logs_all = log.is_enabled_for(logging.DEBUG)
        #: how many were refused in this second
        self._told = 0

    @staticmethod
    def owns(path: str) -> bool:
        """Whether this path, without the prefix of a proxy, is an address of callbacks, of whatever account."""
        return path.startswith(_BEFORE) and path[len(_BEFORE) : len(_BEFORE) + 1] not in ("", "/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 500
        name, slash, lane = scope["path"].removeprefix(scope["root_path"])[len(_BEFORE) :].partition("/")
        try:
            answer = await self._take(scope, receive, name, lane or None)
            status = answer.status_code
            await answer(scope, receive, send)
        except ClientDisconnect:
            status = 499
        except Exception as error:
            # answered as any mistake of ours; whoever runs this logs what is raised
            await internal_error(Request(scope), error)(scope, receive, send)
            raise
        finally:
            if status >= 400 or self.logs_all:
                log_answered(scope["method"], bool(slash), status, time.perf_counter() - began)

    async def _take(self, scope: Scope, receive: Receive, name: str, lane: str | None) -> Response:
        """Take one callback in."""
        state: State = scope["state"]
        account, inbox = self._accounts.get(name), state["inbox"]
        if account is None:
            # 404: this address was never given to anybody; the provider repeats it and gives up
            nearest = difflib.get_close_matches(name[:100], self._accounts, n=1, cutoff=0.5)
            log.warning("callback.unknown_account", nearest=nearest[0] if nearest else None)
            inbox.count("unknown-account", "")
            return problem(404, "There is no such account.")
        if scope["method"] not in METHODS:
            # 405: no callback; nothing is kept
            return problem(
                405, "Callbacks are sent by POST, PUT or GET.", headers={"Allow": ", ".join(METHODS)}
            )

        coming = InboundCallback(
            state["doorkeeper"], state["program"].clock, account, self._providers[name],
            method=scope["method"], path=_path(scope), query=scope["query_string"], headers=scope["headers"],
            client=scope.get("client"), lane=lane,
        )  # fmt: skip
        arriving = bodies.Arriving(receive, coming.headers)
        try:
            if coming.is_believed:
                body = await arriving.whole(bodies.MOST_BYTES)
            elif account.webhook_token:
                async with asyncio.timeout(_HANDSHAKE_WAIT_S):
                    body = await arriving.whole(HANDSHAKE_BYTES)
            else:
                return await _quarantine(inbox, coming, arriving)
        except (bodies.TooLarge, TimeoutError):
            if not coming.is_believed:
                return await _quarantine(inbox, coming, arriving)
            # 413: no documented callback is nearly as large; it is refused while it arrives
            log.warning("callback.too_large", account=account.name)
            inbox.count("too-large", account.name)
            return problem(413, "A callback may have 1 MiB.", headers={"Connection": "close"})

        handshake = coming.handshake(body)
        if handshake is not None:
            # 200 with the challenge: the provider then takes the address for ours
            log.info("callback.handshake", account=account.name)
            return await self._store(inbox, coming.new(body, IGNORED, "handshake"), _echo(handshake))
        if not coming.is_believed:
            return await _quarantine(inbox, coming, arriving)
        if lane is not None and account.lanes and lane not in account.lanes:
            log.warning("callback.unknown_lane", account=account.name)
        # 200 {"ok":true}, whatever it holds, once it is committed. 503 makes the provider repeat it, and us ask.
        return await self._store(inbox, coming.new(body), OK)

    async def _store(self, inbox: InboxWriter, new: NewCallback, answer: Response) -> Response:
        try:
            await inbox.put(new, timeout_s=STORE_WITHIN_S)
        except StorageUnavailable as error:
            return self.not_stored(inbox, new, error)
        return answer

    def not_stored(self, inbox: InboxWriter, new: NewCallback, error: StorageUnavailable) -> Response:
        """503: it may be stored or not. The provider repeats it; and we ask about what is open."""
        self._log_not_stored(new, error)
        inbox.missed(new.account)
        return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})

    def _log_not_stored(self, new: NewCallback, error: StorageUnavailable) -> None:
        """A line for each; where thousands a second are refused, one for all but the first of a second."""
        if self._told == 0:
            asyncio.get_running_loop().call_later(_TOLD_PAUSE_S, self._log_untold)
        if self._told < _TOLD:
            log.warning("callback.not_stored", account=new.account, callback=new.id, error=str(error))
        self._told += 1

    def _log_untold(self) -> None:
        if self._told > _TOLD:
            log.warning("callbacks.refused", count=self._told - _TOLD)
        self._told = 0


def log_answered(method: str, with_lane: bool, status: int, took_s: float) -> None:
    """The line that every request has, at debug level where all went well, for there are many."""
    write = log.info if status >= 400 else log.debug
    route = ADDRESSES[1 if with_lane else 0]
    write(
        "request.answered",
        method=method,
        route=route,
        status=status,
        took_ms=round(took_s * 1000, 1),
        id=None,
    )


def _echo(handshake: WebhookChallenge) -> Response:
    """Before 2021 the provider wanted the key back, too."""
    key = handshake.validation_key or next(iter(handshake.tokens), None)
    return _Json(orjson.dumps({"challenge": handshake.challenge, "validation_key": key}))


async def _quarantine(inbox: InboxWriter, coming: InboundCallback, arriving: bodies.Arriving) -> Response:
    """401: it is not believed. What came is kept aside, within bounds, so that a wrong secret can be mended; the answer
    does not wait for that."""
    body = await arriving.beginning(_QUARANTINE_BYTES, patience_s=_QUARANTINE_WAIT_S)
    new = coming.new_stranger(body, arriving.size)
    log.warning("callback.not_believed", account=new.account, cause=new.reason)
    inbox.set_aside(new, b"\n".join(coming.presented))
    headers = {"WWW-Authenticate": "Bearer"}
    if not arriving.complete:
        headers["Connection"] = "close"
    return problem(401, "The secret of this webhook is missing or wrong.", headers=headers)


def _path(scope: Scope) -> bytes:
    return bytes(scope.get("raw_path") or scope["path"].encode("utf-8", "replace"))
