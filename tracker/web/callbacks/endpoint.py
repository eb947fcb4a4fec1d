"""The endpoint of callbacks: `POST|PUT|GET /callbacks/{account}` and `/callbacks/{account}/{lane}`.

A request is authenticated, stored, and only then answered. Its content is parsed later. Thousands of requests a second
come here, so the endpoint stands in front of the routes and the middleware.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tracker.errors import StorageUnavailable
from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.web.callbacks.inbound_callback import InboundCallback, RequestHead
from tracker.web.callbacks.intake import (
    METHODS,
    STORE_TIMEOUT_S,
    Acceptance,
    Action,
    CallbackIntake,
    Decision,
)
from tracker.web.http.access_log import log_answered
from tracker.web.http.body import BodyTooLarge, IncomingBody, content_length
from tracker.web.http.problems import handle_internal_error, problem
from tracker.web.state import State

log = structlog.get_logger()

_PREFIX: Final = "/callbacks/"
ROUTES: Final = (_PREFIX + "{account}", _PREFIX + "{account}/{lane:path}")


def is_callback_path(path: str) -> bool:
    """Return whether this path, without the prefix of a proxy, is a callback address of any account, known or not."""
    return path.startswith(_PREFIX) and path[len(_PREFIX) : len(_PREFIX) + 1] not in ("", "/")


def log_callback_answered(head: RequestHead, status: int, seconds: float) -> None:
    """Write the access log line of a request to a callback address."""
    route = ROUTES[0 if head.lane is None else 1]
    log_answered(method=head.method, route=route, status=status, seconds=seconds)


class CallbackEndpoint:
    """The ASGI application behind the paths of `is_callback_path`."""

    def __init__(self, intake: CallbackIntake) -> None:
        self._intake = intake
        #: whether the access log has a line for successful callbacks, too
        self.is_success_logged = log.is_enabled_for(logging.DEBUG)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status, head = time.perf_counter(), 500, _read_head(scope)
        try:
            response = await self._respond(scope["state"], head, receive)
            status = response.status_code
            await response(scope, receive, send)
        except ClientDisconnect:
            status = 499
        except Exception as error:
            # uvicorn logs what is raised again.
            await handle_internal_error(Request(scope), error)(scope, receive, send)
            raise
        finally:
            if status >= 400 or self.is_success_logged:
                log_callback_answered(head, status, time.perf_counter() - started)

    async def _respond(self, state: State, head: RequestHead, receive: Receive) -> Response:
        inbox, intake = state["inbox"], self._intake
        decision = intake.decide(head)
        callback, incoming = decision.callback, IncomingBody(receive)
        if callback is None:
            return self._reject(decision.action, head, inbox)
        if decision.action is Action.QUARANTINE:
            return await self._quarantine(decision, callback, incoming, inbox)
        try:
            async with asyncio.timeout(decision.timeout_s):
                body = await incoming.read_all(decision.body_limit)
        except (BodyTooLarge, TimeoutError):
            if decision.action is Action.ACCEPT:
                return self._reject(Action.REJECT_SIZE, head, inbox)
        else:
            accepted = intake.accept(callback, body)
            if accepted is not None:
                return await self._store(accepted, inbox)
        return await self._quarantine(intake.quarantine(callback), callback, incoming, inbox)

    async def _store(self, accepted: Acceptance, inbox: InboxWriter) -> Response:
        try:
            await inbox.submit(accepted.row, timeout_s=STORE_TIMEOUT_S)
        except StorageUnavailable as error:
            return self._intake.storage_failed(inbox, accepted.row, error)
        return accepted.response

    def _reject(self, action: Action, head: RequestHead, inbox: InboxWriter) -> Response:
        """Return the answer to a request of which nothing is kept, and log and count it."""
        if action is Action.REJECT_ACCOUNT:
            nearest = difflib.get_close_matches(head.account[:100], self._intake.accounts, n=1, cutoff=0.5)
            log.warning("callback.account_unrecognized", nearest=nearest[0] if nearest else None)
            inbox.refusals.count("unknown-account", "")
            return problem(404, "No such account is configured.")
        if action is Action.REJECT_METHOD:
            return problem(
                405, "A callback must be sent by POST, PUT or GET.", headers={"Allow": ", ".join(METHODS)}
            )
        log.warning("callback.too_large", account=head.account)
        inbox.refusals.count("too-large", head.account)
        return problem(413, "The callback exceeds 1 MiB.", headers={"Connection": "close"})

    async def _quarantine(
        self, decision: Decision, callback: InboundCallback, incoming: IncomingBody, inbox: InboxWriter
    ) -> Response:
        """Return 401. The row is stored without waiting for its commit."""
        body = await incoming.read_prefix(decision.body_limit, timeout_s=decision.timeout_s)
        row = self._intake.to_quarantine_row(callback, body, incoming.size)
        log.warning("callback.unauthenticated", account=row.account, cause=row.reason)
        inbox.refusals.quarantine(row, b"\n".join(callback.presented_secrets))
        headers = {"WWW-Authenticate": "Bearer"}
        if not incoming.is_complete:
            headers["Connection"] = "close"
        return problem(
            401,
            "The webhook secret is missing or wrong. Send `Authorization: Bearer …`.",
            headers=headers,
        )


def _read_head(scope: Scope) -> RequestHead:
    account, _, lane = scope["path"].removeprefix(scope["root_path"])[len(_PREFIX) :].partition("/")
    headers = scope["headers"]
    return RequestHead(
        method=scope["method"],
        account=account,
        lane=lane or None,
        path=bytes(scope.get("raw_path") or scope["path"].encode("utf-8", "replace")),
        query=scope["query_string"],
        headers=headers,
        content_length=content_length(headers),
        client=scope.get("client"),
    )
