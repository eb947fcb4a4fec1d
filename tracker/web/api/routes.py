"""`/api/v1`: placing calls, reading them, and what people decide about calls and callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import orjson
import structlog
from starlette.responses import Response
from starlette.routing import Route

from tracker.domain.documents import Document, pause_document
from tracker.domain.time_text import from_iso
from tracker.errors import FieldError, InvalidInput, NumberMismatch, StorageUnavailable
from tracker.lifecycle.operations.orphan_candidates import shown_callback
from tracker.lifecycle.placing.idempotency import Placed
from tracker.store.engine.database import Connection
from tracker.store.read import callbacks, calls, cursors
from tracker.store.read.cursors import Page
from tracker.web.api.params import (
    Parameters,
    call_filter,
    callback_filter,
    idempotency_key,
    json_object,
    path_id,
    require_fields,
)
from tracker.web.auth import Endpoint, bearer_token, require_token
from tracker.web.state import AppRequest

log = structlog.get_logger()

T = TypeVar("T")

PREFIX: Final = "/api/v1"
#: beyond the account's `timeout_s`, for recording what came back
_RECORDING_S: Final = 5.0
#: once the server stops; the send itself goes on a little longer
_LAST_WORD_S: Final = 3.0
#: the states of a submission that are clear; the others may still become anything
_UNCLEAR: Final = ("pending", "submitting", "unconfirmed")
#: on the answer to a request whose Idempotency-Key was seen before
_REPLAYED: Final = {"Idempotency-Replayed": "true"}


async def place_call(request: AppRequest) -> Response:
    """POST /calls: place one call, send it at once, and wait for the recorded answer."""
    Parameters(request).done()
    program = request.state["program"]
    key = idempotency_key(request)
    fields = await json_object(request)
    scope = _who(request)
    placed = await asyncio.to_thread(lambda: program.placer.place(fields, scope=scope, key=key))
    if not placed.replayed:
        await _send(request, placed)
    call = await _read(request, lambda c: calls.get_call(c, placed.call))
    location = {"Location": _address(request, placed.call)}
    if placed.replayed:
        return _json(call, 200, {**location, **_REPLAYED})
    # `rejected` with a next attempt: the provider said "too many", and the same wish is sent again
    clear = call["submissions"][-1]["status"] not in _UNCLEAR and call["next_attempt_at"] is None
    return _json(call, 201 if clear else 202, location)


async def list_calls(request: AppRequest) -> Response:
    """GET /calls."""
    parameters = Parameters(request)
    accounts = request.state["program"].accounts.values()
    which, order = call_filter(parameters, {a.region for a in accounts})
    limit, cursor = parameters.page()
    parameters.done()
    page = await _read(request, lambda c: calls.list_calls(c, which, order=order, limit=limit, cursor=cursor))
    return _page(page)


async def get_call(request: AppRequest) -> Response:
    """GET /calls/{id}."""
    Parameters(request).done()
    id = path_id(request)
    return _json(await _read(request, lambda c: calls.get_call(c, id)))


async def get_timeline(request: AppRequest) -> Response:
    """GET /calls/{id}/timeline: its events in order."""
    parameters = Parameters(request)
    limit, cursor = parameters.page()
    parameters.done()
    id = path_id(request)
    events = await _read(request, lambda c: calls.timeline(c, id))
    begin = _place_in(events, cursor, id)
    shown = events[begin : begin + limit]
    more = begin + limit < len(events)
    after = cursors.encode({"timeline": id}, from_iso(shown[-1]["at"]), shown[-1]["id"]) if more else None
    return _page(Page(data=shown, next_cursor=after))


async def get_evidence(request: AppRequest) -> Response:
    """GET /calls/{id}/evidence: everything that the timeline rests on."""
    Parameters(request).done()
    id = path_id(request)
    return _json(await _read(request, lambda c: calls.evidence(c, id)))


async def cancel_call(request: AppRequest) -> Response:
    """POST /calls/{id}/cancel: 200 where nothing had left or it is given up, 202 where the outcome to come stands."""
    Parameters(request).done()
    fields = await json_object(request, may_be_empty=True)
    require_fields(fields, {"force": bool})
    id, program, force = path_id(request), request.state["program"], bool(fields.get("force"))
    canceled = await asyncio.to_thread(lambda: program.operator.cancel(id, force=force))
    return _json(await _read(request, lambda c: calls.get_call(c, id)), 200 if canceled else 202)


async def retry_call(request: AppRequest) -> Response:
    """POST /calls/{id}/retry: another attempt by hand, sent at once; 201 with the new submission, 200 for a repeat."""
    Parameters(request).done()
    key = idempotency_key(request)
    fields = await json_object(request, may_be_empty=True)
    require_fields(fields, {"force": bool})
    id, program, scope = path_id(request), request.state["program"], _who(request)
    force = bool(fields.get("force"))
    placed = await asyncio.to_thread(lambda: program.operator.retry(id, force=force, scope=scope, key=key))
    if not placed.replayed:
        await _send(request, placed)
    call = await _read(request, lambda c: calls.get_call(c, id))
    made = next(s for s in call["submissions"] if s["id"] == placed.submission)
    return _json({**made, "call": id}, *((200, _REPLAYED) if placed.replayed else (201, None)))


async def pause(request: AppRequest) -> Response:
    """POST /pause: no further dial leaves, of all calls, of an account, or of a campaign."""
    scope = await _scope(request)
    pauser = request.state["program"].pauser
    standing = await asyncio.to_thread(
        lambda: pauser.pause(account=scope.get("account"), campaign=scope.get("campaign"))
    )
    return _json({"paused": [pause_document(p) for p in standing]})


async def resume(request: AppRequest) -> Response:
    """POST /resume: its counterpart, for the pause of exactly this scope."""
    scope = await _scope(request, {"force": bool})
    pauser = request.state["program"].pauser
    resumed = await asyncio.to_thread(
        lambda: pauser.resume(
            account=scope.get("account"), campaign=scope.get("campaign"), force=scope.get("force", False)
        )
    )
    standing = await asyncio.to_thread(pauser.standing)
    return _json({"paused": [pause_document(p) for p in standing], "released": resumed.released})


async def _scope(request: AppRequest, more: Mapping[str, type] | None = None) -> dict[str, Any]:
    Parameters(request).done()
    fields = await json_object(request, may_be_empty=True)
    require_fields(fields, {"account": str, "campaign": str, **(more or {})})
    return {name: value for name, value in fields.items() if value is not None}


async def list_callbacks(request: AppRequest) -> Response:
    """GET /callbacks: the inbox."""
    parameters = Parameters(request)
    which = callback_filter(parameters)
    limit, cursor = parameters.page()
    parameters.done()
    return _page(
        await _read(request, lambda c: callbacks.list_callbacks(c, which, limit=limit, cursor=cursor))
    )


async def get_callback(request: AppRequest) -> Response:
    """GET /callbacks/{id}: with the raw request, and the submissions that an orphan may belong to."""
    Parameters(request).done()
    id = path_id(request)
    return _json(await _read(request, lambda c: shown_callback(c, id)))


async def join_callback(request: AppRequest) -> Response:
    """POST /callbacks/{id}/join: by hand, to our submission or to the provider's id."""
    Parameters(request).done()
    fields = await json_object(request)
    require_fields(fields, {"submission": str, "submission_id": str, "force": bool})
    force = bool(fields.pop("force", False))
    given = {name: value for name, value in fields.items() if value}
    if len(given) != 1:
        message = "is needed, or submission_id: give exactly one of them"
        raise InvalidInput([FieldError(field="submission", message=message)])
    id, operator = path_id(request), request.state["program"].operator
    try:
        await asyncio.to_thread(lambda: operator.join(id, **given, force=force))
    except NumberMismatch as error:
        raise NumberMismatch(f'{error} To join it all the same, send {{"force": true}}.') from None
    return _json(await _read(request, lambda c: shown_callback(c, id)))


async def ignore_callback(request: AppRequest) -> Response:
    """POST /callbacks/{id}/ignore: it is about nothing of ours."""
    Parameters(request).done()
    require_fields(await json_object(request, may_be_empty=True), {})
    id, operator = path_id(request), request.state["program"].operator
    await asyncio.to_thread(operator.ignore, id)
    return _json(await _read(request, lambda c: shown_callback(c, id)))


_ENDPOINTS: Final[Mapping[str, Mapping[str, Endpoint]]] = {
    "/calls": {"GET": list_calls, "POST": place_call},
    "/calls/{id}": {"GET": get_call},
    "/calls/{id}/timeline": {"GET": get_timeline},
    "/calls/{id}/evidence": {"GET": get_evidence},
    "/calls/{id}/cancel": {"POST": cancel_call},
    "/calls/{id}/retry": {"POST": retry_call},
    "/pause": {"POST": pause},
    "/resume": {"POST": resume},
    "/callbacks": {"GET": list_callbacks},
    "/callbacks/{id}": {"GET": get_callback},
    "/callbacks/{id}/join": {"POST": join_callback},
    "/callbacks/{id}/ignore": {"POST": ignore_callback},
}


def _by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    async def endpoint(request: AppRequest) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return endpoint


#: one route for each path, so that a 405 names all methods that it takes
ROUTES: Final = [
    Route(PREFIX + path, require_token(_by_method(endpoints)), methods=list(endpoints))
    for path, endpoints in _ENDPOINTS.items()
]


async def _send(request: AppRequest, placed: Placed) -> None:
    """Send in a task of the server's own, which goes on if the caller goes away; wait for its answer to be recorded."""
    program, sends = request.state["program"], request.state["sends"]
    submission = placed.submission

    async def send() -> None:
        try:
            await program.sender.submit(submission)
        except StorageUnavailable as error:
            log.warning("submission.not_recorded", submission=submission, error=str(error))
        except Exception:
            log.exception("submission.failed", submission=submission)

    task = asyncio.create_task(send())
    sends.add(task)
    task.add_done_callback(sends.discard)
    account = program.accounts.get(placed.account)
    stopping = asyncio.create_task(request.state["stopping"].wait())
    await asyncio.wait(
        [task, stopping],
        timeout=(account.timeout_s if account else 0.0) + _RECORDING_S,
        return_when=asyncio.FIRST_COMPLETED,
    )
    if stopping.done() and not task.done():
        await asyncio.wait([task], timeout=_LAST_WORD_S)
    stopping.cancel()


def _who(request: AppRequest) -> str:
    """Whose Idempotency-Keys count: those of a token."""
    return (bearer_token(request.scope["headers"]) or b"").decode("latin-1")


async def _read(request: AppRequest, work: Callable[[Connection], T]) -> T:
    return await asyncio.to_thread(request.state["program"].database.look, work)


def _json(document: Document, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json", headers=headers)


def _page(page: Page[Document]) -> Response:
    return _json({"data": page.data, "next_cursor": page.next_cursor})


def _place_in(events: list[Document], cursor: str | None, id: str) -> int:
    """Where the page behind a cursor begins. Raises InvalidInput."""
    if cursor is None:
        return 0
    _, last = cursors.decode({"timeline": id}, cursor)
    for n, event in enumerate(events):
        if event["id"] == last:
            return n + 1
    raise InvalidInput(
        [FieldError(field="cursor", message="names an event that is no longer there; begin anew")]
    )


def _address(request: AppRequest, call: str) -> str:
    return f"{request.scope.get('root_path', '')}{PREFIX}/calls/{call}"
