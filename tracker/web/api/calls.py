"""The endpoints of `/api/v1/calls`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from starlette.responses import Response

from tracker.domain.events import Event
from tracker.errors import FieldError, InvalidInput, StorageUnavailable
from tracker.lifecycle.placing.idempotency import Placed
from tracker.store.read import calls, cursors
from tracker.store.read.cursors import Page
from tracker.web.api.documents import call_document, event_document, evidence_document
from tracker.web.api.params import (
    idempotency_key,
    idempotency_scope,
    json_object,
    list_parameters,
    path_id,
    refuse_parameters,
    require_fields,
)
from tracker.web.api.responses import REPLAYED, json_response, page_response, read_database
from tracker.web.state import AppRequest

log = structlog.get_logger()

#: seconds beyond the account's `timeout_s`, in which the provider's answer is recorded
_RECORDING_S: Final = 5.0
#: seconds that a request waits for its send once the server stops; the send itself continues a little longer
_STOPPING_S: Final = 3.0
#: statuses of a submission that may still become anything
_UNCLEAR: Final = ("pending", "submitting", "unconfirmed")


async def place_call(request: AppRequest) -> Response:
    """POST /calls: place one call, send it at once, and wait for the recorded answer."""
    refuse_parameters(request)
    placer, scope, key = request.state["program"].placer, idempotency_scope(request), idempotency_key(request)
    fields = await json_object(request)
    placed = await asyncio.to_thread(lambda: placer.place(fields, scope=scope, key=key))
    if not placed.is_replayed:
        await _send(request, placed)
    call = await read_database(request, lambda c: calls.get_call(c, placed.call))
    location = {"Location": f"{request.scope.get('root_path', '')}/api/v1/calls/{placed.call}"}
    if placed.is_replayed:
        return json_response(call_document(call), 200, location | REPLAYED)
    # `rejected` with a next attempt: the provider answered "too many requests", and the same wish is sent again
    is_clear = call.submissions[-1].status not in _UNCLEAR and call.next_attempt_at is None
    return json_response(call_document(call), 201 if is_clear else 202, location)


async def list_calls(request: AppRequest) -> Response:
    """GET /calls."""
    parameters = list_parameters(request)
    query, order, (limit, cursor) = parameters.call_filter(), parameters.order(), parameters.page()
    parameters.require_valid()
    page = await read_database(
        request, lambda c: calls.list_calls(c, query, order=order, limit=limit, cursor=cursor)
    )
    return page_response(page, call_document)


async def get_call(request: AppRequest) -> Response:
    """GET /calls/{id}."""
    refuse_parameters(request)
    id = path_id(request)
    call = await read_database(request, lambda c: calls.get_call(c, id))
    return json_response(call_document(call))


async def get_timeline(request: AppRequest) -> Response:
    """GET /calls/{id}/timeline: its events in order."""
    parameters = list_parameters(request)
    limit, cursor = parameters.page()
    parameters.require_valid()
    id = path_id(request)
    events = await read_database(request, lambda c: calls.get_timeline(c, id))
    start = _page_start(events, cursor, id)
    page = events[start : start + limit]
    has_more = start + limit < len(events)
    next_cursor = cursors.encode({"timeline": id}, page[-1].at, page[-1].id) if has_more else None
    return page_response(Page(data=page, next_cursor=next_cursor), event_document)


async def get_evidence(request: AppRequest) -> Response:
    """GET /calls/{id}/evidence: everything that the timeline rests on."""
    refuse_parameters(request)
    id = path_id(request)
    evidence = await read_database(request, lambda c: calls.get_evidence(c, id))
    return json_response(evidence_document(evidence))


async def cancel_call(request: AppRequest) -> Response:
    """POST /calls/{id}/cancel: 200 if nothing had left or the attempt is given up, 202 if the outcome is to come."""
    force = await _read_force(request)
    id, actions = path_id(request), request.state["program"].call_actions
    is_canceled = await asyncio.to_thread(lambda: actions.cancel(id, force=force))
    call = await read_database(request, lambda c: calls.get_call(c, id))
    return json_response(call_document(call), 200 if is_canceled else 202)


async def retry_call(request: AppRequest) -> Response:
    """POST /calls/{id}/retry: another attempt, sent at once. 201 with the new submission, 200 for a repeat."""
    scope, key = idempotency_scope(request), idempotency_key(request)
    force = await _read_force(request)
    id, actions = path_id(request), request.state["program"].call_actions
    placed = await asyncio.to_thread(lambda: actions.retry(id, force=force, scope=scope, key=key))
    if not placed.is_replayed:
        await _send(request, placed)
    call = await read_database(request, lambda c: calls.get_call(c, id))
    submission = next(each for each in call.submissions if each.id == placed.submission)
    document = {**submission._asdict(), "call": id}
    return json_response(document, 200, REPLAYED) if placed.is_replayed else json_response(document, 201)


async def _read_force(request: AppRequest) -> bool:
    refuse_parameters(request)
    fields = await json_object(request, may_be_empty=True)
    require_fields(fields, {"force": bool})
    return bool(fields.get("force"))


async def _send(request: AppRequest, placed: Placed) -> None:
    """Send the submission in a task of the server, and wait until the answer is recorded.

    The task continues if the client goes away.
    """
    program, sends = request.state["program"], request.state["sends"]
    submission = placed.submission

    async def send() -> None:
        try:
            await program.sender.submit(submission)
        except StorageUnavailable as error:
            log.warning("submission.record_failed", submission=submission, error=str(error))
        except Exception:
            log.exception("submission.send_failed", submission=submission)

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
        await asyncio.wait([task], timeout=_STOPPING_S)
    stopping.cancel()


def _page_start(events: Sequence[Event], cursor: str | None, id: str) -> int:
    """Return the index of the first event behind a cursor. Raises InvalidInput."""
    if cursor is None:
        return 0
    _, last = cursors.decode({"timeline": id}, cursor)
    for index, event in enumerate(events):
        if event.id == last:
            return index + 1
    message = "names an event that is no longer there; begin with the first page again"
    raise InvalidInput([FieldError(field="cursor", message=message)])
