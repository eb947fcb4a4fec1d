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
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tracker.domain.accounts import Account
from tracker.domain.readings import Handshake
from tracker.errors import InboxFull, StorageUnavailable
from tracker.flow.receiving import Inbox
from tracker.providers.base import Incoming
from tracker.providers.registry import provider_named
from tracker.store import inbox
from tracker.store.ids import receipt_id
from tracker.store.receipts import NewCallback
from tracker.web import bodies
from tracker.web.doorkeeper import Doorkeeper, Headers, same
from tracker.web.masking import MASK
from tracker.web.problems import RETRY_AFTER_S, of_mistake, problem

log = structlog.get_logger()

METHODS: Final = ("POST", "PUT", "GET")
#: the provider gives up after 3 seconds
STORE_WITHIN_S: Final = 2.5
_HANDSHAKE_BYTES: Final = 4 * 1024
_QUARANTINE_BYTES: Final = 64 * 1024
#: and of its headers; its path and query are short, or it does not get this far
_QUARANTINE_HEADERS: Final = 16 * 1024
#: how long the body of somebody who is not believed is waited for: where it may be the handshake, and else
_HANDSHAKE_WAIT_S: Final = 1.0
_QUARANTINE_WAIT_S: Final = 0.25

_BEFORE: Final = "/callbacks/"
ADDRESSES: Final = (_BEFORE + "{account}", _BEFORE + "{account}/{lane:path}")


#: seconds between lines in the log about callbacks that found the queue full
_FULL_PAUSE_S: Final = 1.0


class _Json(Response):
    media_type = "application/json"


_OK: Final = _Json(b'{"ok":true}')


class Callbacks:
    """The ASGI application behind the addresses that it `owns`."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._providers = {name: provider_named(account.provider) for name, account in accounts.items()}
        self._logs_all = log.is_enabled_for(logging.DEBUG)
        self._full, self._full_due = 0, 0.0

    @staticmethod
    def owns(path: str) -> bool:
        """Whether this path, without the prefix of a proxy, is an address of callbacks, of whatever account."""
        return path.startswith(_BEFORE) and path[len(_BEFORE) : len(_BEFORE) + 1] not in ("", "/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 500
        name, slash, lane = scope["path"].removeprefix(scope["root_path"])[len(_BEFORE) :].partition("/")
        try:
            answer = await self._take(_Request(scope, receive, lane or None), name)
            status = answer.status_code
            await answer(scope, receive, send)
        except ClientDisconnect:
            status = 499
        except Exception as error:
            # answered as any mistake of ours; whoever runs this logs what is raised
            await of_mistake(StarletteRequest(scope), error)(scope, receive, send)
            raise
        finally:
            if status >= 400 or self._logs_all:
                write = log.info if status >= 400 else log.debug
                took_ms = round((time.perf_counter() - began) * 1000, 1)
                route = ADDRESSES[1 if slash else 0]
                write(
                    "request.answered",
                    method=scope["method"],
                    route=route,
                    status=status,
                    took_ms=took_ms,
                    id=None,
                )

    async def _take(self, request: _Request, name: str) -> Response:
        """Take one callback in."""
        account = self._accounts.get(name)
        if account is None:
            # 404: this address was never given to anybody; the provider repeats it and gives up
            nearest = difflib.get_close_matches(name[:100], self._accounts, n=1, cutoff=0.5)
            log.warning("callback.unknown_account", nearest=nearest[0] if nearest else None)
            request.inbox.count("unknown-account", "")
            return problem(404, "There is no such account.")
        if request.method not in METHODS:
            # 405: no callback; nothing is kept
            return problem(
                405, "Callbacks are sent by POST, PUT or GET.", headers={"Allow": ", ".join(METHODS)}
            )

        provider = self._providers[name]
        presented = provider.presented_secrets(tuple(request.headers))
        has_secret = any(same(p, account.webhook_secrets) for p in presented)
        believed = has_secret or account.allow_unsigned
        arriving = bodies.Arriving(request.receive, request.headers)
        try:
            if believed:
                body = await arriving.whole(bodies.MOST_BYTES)
            elif account.webhook_token:
                async with asyncio.timeout(_HANDSHAKE_WAIT_S):
                    body = await arriving.whole(_HANDSHAKE_BYTES)
            else:
                return await _quarantine(request, account, presented, arriving)
        except (bodies.TooLarge, TimeoutError):
            if not believed:
                return await _quarantine(request, account, presented, arriving)
            # 413: no documented callback is nearly as large; it is refused while it arrives
            log.warning("callback.too_large", account=account.name)
            request.inbox.count("too-large", account.name)
            return problem(413, "A callback may have 1 MiB.", headers={"Connection": "close"})

        if has_secret or len(body) <= _HANDSHAKE_BYTES:
            handshake = provider.read_handshake(request.incoming(body))
            if handshake is not None and _token_is_known(account, handshake):
                return await self._shake_hands(request, account, body, handshake)
        if not believed:
            return await _quarantine(request, account, presented, arriving)
        if request.lane is not None and account.lanes and request.lane not in account.lanes:
            log.warning("callback.unknown_lane", account=account.name)
        # 200 {"ok":true}, whatever it holds, once it is committed. 503 makes the provider repeat it, and us ask.
        return await self._store(request, request.new(account, body), _OK)

    async def _shake_hands(
        self, request: _Request, account: Account, body: bytes, handshake: Handshake
    ) -> Response:
        """200 with the challenge: the provider then takes the address for ours. Before 2021 it wanted the key back."""
        new = request.new(account, body, inbox.IGNORED, "handshake")
        key = handshake.validation_key or next(iter(handshake.tokens), None)
        answer = _Json(orjson.dumps({"challenge": handshake.challenge, "validation_key": key}))
        log.info("callback.handshake", account=account.name)
        return await self._store(request, new, answer)

    async def _store(self, request: _Request, new: NewCallback, answer: Response) -> Response:
        try:
            await request.inbox.put(new, timeout_s=STORE_WITHIN_S)
        except StorageUnavailable as error:
            # 503: it may be stored or not. The provider repeats it; and we ask about what is open.
            if isinstance(error, InboxFull):
                self._count_full()
            else:
                log.warning("callback.not_stored", account=new.account, callback=new.id, error=str(error))
            request.inbox.missed(new.account)
            return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})
        return answer

    def _count_full(self) -> None:
        """Thousands a second may be refused: the log hears of them once a second."""
        self._full += 1
        if (now := time.monotonic()) >= self._full_due:
            log.warning("callbacks.refused", error=str(InboxFull()), count=self._full)
            self._full, self._full_due = 0, now + _FULL_PAUSE_S


class _Request:
    """What is asked of a request on its way into the inbox."""

    __slots__ = ("_keeper", "_scope", "_state", "headers", "inbox", "lane", "method", "query", "receive")

    def __init__(self, scope: Scope, receive: Receive, lane: str | None) -> None:
        self._scope, self.receive, self.lane = scope, receive, lane
        self._state = scope["state"]
        self._keeper: Doorkeeper = self._state["doorkeeper"]
        self.inbox: Inbox = self._state["inbox"]
        self.method: str = scope["method"]
        #: names in lower case
        self.headers: Headers = scope["headers"]
        self.query: bytes = scope["query_string"]

    def incoming(self, body: bytes) -> Incoming:
        return Incoming(
            method=self.method, path=self._path, query=self.query, headers=tuple(self.headers), body=body
        )

    def new(
        self, account: Account, body: bytes, state: str = inbox.PENDING, reason: str | None = None
    ) -> NewCallback:
        """The request as it is stored, without secrets."""
        keeper, at = self._keeper, self._state["program"].clock()
        return NewCallback(
            receipt_id(at), account.name, keeper.lane(self.lane), at, self.method,
            keeper.without_secrets(self._path), keeper.without_secrets(self.query),
            keeper.packed_without_secrets(self.headers), keeper.without_secrets(body), len(body),
            keeper.remote(self._scope), state, reason,
        )  # fmt: skip

    def new_stranger(self, account: Account, body: bytes, size: int, cause: str) -> NewCallback:
        """The same of one that is not believed, of whom `size` bytes have come."""
        # what was presented may be somebody's secret, though it is none of ours: its fingerprint is enough
        kept = _first(self.headers, _QUARANTINE_HEADERS)
        headers = tuple((k, MASK if k == b"authorization" else v) for k, v in kept)
        new = self.new(account, body, inbox.QUARANTINED, cause)
        return new._replace(headers=self._keeper.packed_without_secrets(headers), size=size)

    @property
    def _path(self) -> bytes:
        return bytes(self._scope.get("raw_path") or self._scope["path"].encode("utf-8", "replace"))


def _token_is_known(account: Account, handshake: Handshake) -> bool:
    return any(same(token.encode("utf-8", "replace"), [account.webhook_token]) for token in handshake.tokens)


async def _quarantine(
    request: _Request, account: Account, presented: tuple[bytes, ...], arriving: bodies.Arriving
) -> Response:
    """401: it is not believed. What came is kept aside, within bounds, so that a wrong secret can be mended; the answer
    does not wait for that."""
    body = await arriving.beginning(_QUARANTINE_BYTES, patience_s=_QUARANTINE_WAIT_S)
    cause = "wrong-secret" if presented else "no-secret"
    log.warning("callback.not_believed", account=account.name, cause=cause)
    new = request.new_stranger(account, body, arriving.size, cause)
    request.inbox.set_aside(new, b"\n".join(presented))
    headers = {"WWW-Authenticate": "Bearer"}
    if not arriving.complete:
        headers["Connection"] = "close"
    return problem(401, "The secret of this webhook is missing or wrong.", headers=headers)


def _first(headers: Headers, most: int) -> Headers:
    """The first headers, as many as have so many bytes together."""
    kept = []
    for name, value in headers:
        most -= len(name) + len(value)
        if most < 0:
            break
        kept.append((name, value))
    return tuple(kept)
