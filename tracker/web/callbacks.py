"""The provider's side: `POST|PUT|GET /callbacks/{account}` and `/callbacks/{account}/{lane}`.

A request is verified, stored, and only then answered; what it says is read afterwards. The checks stand in the order in
which they are made.
"""

from __future__ import annotations

import asyncio
import difflib
from typing import Final

import orjson
import structlog
from starlette.responses import Response

from tracker.domain.accounts import Account
from tracker.domain.readings import Handshake
from tracker.errors import StorageUnavailable
from tracker.flow.receiving import Inbox
from tracker.providers.base import Incoming
from tracker.providers.registry import provider_named
from tracker.store import inbox
from tracker.store.ids import new_id
from tracker.web import bodies
from tracker.web.doorkeeper import Doorkeeper, Headers, raw_headers, same
from tracker.web.masking import MASK
from tracker.web.problems import RETRY_AFTER_S, problem
from tracker.web.state import AppRequest

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
_OK: Final = b'{"ok":true}'


async def receive(request: AppRequest) -> Response:
    """Take one callback in."""
    state = request.state
    name, lane = request.path_params["account"], request.path_params.get("lane") or None
    account = state["program"].accounts.get(name)
    if account is None:
        # 404: this address was never given to anybody; the provider repeats it and gives up
        nearest = difflib.get_close_matches(name[:100], state["program"].accounts, n=1, cutoff=0.5)
        log.warning("callback.unknown_account", nearest=nearest[0] if nearest else None)
        state["inbox"].count("unknown-account", "")
        return problem(404, "There is no such account.")
    if request.method not in METHODS:
        # 405: no callback; nothing is kept
        return problem(405, "Callbacks are sent by POST, PUT or GET.", headers={"Allow": ", ".join(METHODS)})

    headers = raw_headers(request)
    provider = provider_named(account.provider)
    presented = provider.presented_secrets(headers)
    has_secret = any(same(p, account.webhook_secrets) for p in presented)
    believed = has_secret or account.allow_unsigned
    arriving = bodies.Arriving(request)
    try:
        if believed:
            body = await arriving.whole(bodies.MOST_BYTES)
        elif account.webhook_token:
            async with asyncio.timeout(_HANDSHAKE_WAIT_S):
                body = await arriving.whole(_HANDSHAKE_BYTES)
        else:
            return await _quarantine(request, account, lane, presented, arriving)
    except (bodies.TooLarge, TimeoutError):
        if not believed:
            return await _quarantine(request, account, lane, presented, arriving)
        # 413: no documented callback is nearly as large; it is refused while it arrives
        log.warning("callback.too_large", account=account.name)
        state["inbox"].count("too-large", account.name)
        return problem(413, "A callback may have 1 MiB.", headers={"Connection": "close"})

    incoming = Incoming(
        method=request.method,
        path=_path(request),
        query=request.scope["query_string"],
        headers=headers,
        body=body,
    )
    if has_secret or len(body) <= _HANDSHAKE_BYTES:
        handshake = provider.read_handshake(incoming)
        if handshake is not None and _token_is_known(account, handshake):
            return await _shake_hands(request, account, lane, incoming, handshake)
    if not believed:
        return await _quarantine(request, account, lane, presented, arriving)
    if lane is not None and account.lanes and lane not in account.lanes:
        log.warning("callback.unknown_lane", account=account.name)
    # 200 {"ok":true}, whatever it holds, once it is committed. 503 makes the provider repeat it, and us ask.
    return await _store(request, account, _new(request, account, lane, incoming), _OK)


def _token_is_known(account: Account, handshake: Handshake) -> bool:
    return any(same(token.encode("utf-8", "replace"), [account.webhook_token]) for token in handshake.tokens)


async def _shake_hands(
    request: AppRequest, account: Account, lane: str | None, incoming: Incoming, handshake: Handshake
) -> Response:
    """200 with the challenge: the provider then takes the address for ours. Before 2021 it wanted the key back."""
    new = _new(request, account, lane, incoming, state=inbox.IGNORED, reason="handshake")
    key = handshake.validation_key or next(iter(handshake.tokens), None)
    answer = orjson.dumps({"challenge": handshake.challenge, "validation_key": key})
    log.info("callback.handshake", account=account.name)
    return await _store(request, account, new, answer)


async def _quarantine(
    request: AppRequest,
    account: Account,
    lane: str | None,
    presented: tuple[bytes, ...],
    arriving: bodies.Arriving,
) -> Response:
    """401: it is not believed. What came is kept aside, within bounds, so that a wrong secret can be mended; the answer
    does not wait for that."""
    incoming = Incoming(
        method=request.method,
        path=_path(request),
        query=request.scope["query_string"],
        headers=_first(raw_headers(request), _QUARANTINE_HEADERS),
        body=await arriving.beginning(_QUARANTINE_BYTES, patience_s=_QUARANTINE_WAIT_S),
    )
    cause = "wrong-secret" if presented else "no-secret"
    new = _new(request, account, lane, incoming, state=inbox.QUARANTINED, reason=cause, size=arriving.size)
    log.warning("callback.not_believed", account=account.name, cause=cause)
    request.state["inbox"].set_aside(new, b"\n".join(presented))
    headers = {"WWW-Authenticate": "Bearer"}
    if not arriving.complete:
        headers["Connection"] = "close"
    return problem(401, "The secret of this webhook is missing or wrong.", headers=headers)


async def _store(request: AppRequest, account: Account, new: inbox.NewCallback, answer: bytes) -> Response:
    box: Inbox = request.state["inbox"]
    try:
        await box.put(new, timeout_s=STORE_WITHIN_S)
    except StorageUnavailable as error:
        # 503: it may be stored or not. The provider repeats it; and we ask about what is open.
        log.warning("callback.not_stored", account=account.name, callback=new.id, error=str(error))
        box.missed(account.name)
        return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})
    return Response(answer, 200, media_type="application/json")


def _new(
    request: AppRequest,
    account: Account,
    lane: str | None,
    incoming: Incoming,
    *,
    state: str = inbox.PENDING,
    reason: str | None = None,
    size: int | None = None,
) -> inbox.NewCallback:
    keeper: Doorkeeper = request.state["doorkeeper"]
    headers = keeper.headers_without_secrets(incoming.headers)
    if state == inbox.QUARANTINED:
        # what was presented may be somebody's secret, though it is none of ours: its fingerprint is enough
        headers = tuple((k, MASK if k == b"authorization" else v) for k, v in headers)
    return inbox.NewCallback(
        id=new_id("cb"), account=account.name, lane=keeper.lane(lane), received_at=request.state["program"].clock(),
        method=incoming.method, path=keeper.without_secrets(incoming.path),
        query=keeper.without_secrets(incoming.query), headers=headers, body=keeper.without_secrets(incoming.body),
        size=len(incoming.body) if size is None else size, remote=keeper.remote(request.scope), state=state,
        reason=reason,
    )  # fmt: skip


def _first(headers: Headers, most: int) -> Headers:
    """The first headers, as many as have so many bytes together."""
    kept = []
    for name, value in headers:
        most -= len(name) + len(value)
        if most < 0:
            break
        kept.append((name, value))
    return tuple(kept)


def _path(request: AppRequest) -> bytes:
    return bytes(request.scope.get("raw_path") or request.scope["path"].encode("utf-8", "replace"))
