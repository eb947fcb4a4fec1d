"""The endpoints of `/api/v1/callbacks`."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from tracker.errors import FieldError, InvalidInput, NumberMismatch
from tracker.lifecycle.operations.orphan_candidates import load_callback_details
from tracker.store.read import callbacks
from tracker.web.api.documents import callback_details_document, callback_document
from tracker.web.api.params import json_object, list_parameters, path_id, refuse_parameters, require_fields
from tracker.web.api.responses import json_response, page_response, read_database
from tracker.web.state import AppRequest


async def list_callbacks(request: AppRequest) -> Response:
    """GET /callbacks: the inbox."""
    parameters = list_parameters(request)
    query, (limit, cursor) = parameters.callback_filter(), parameters.page()
    parameters.require_valid()
    page = await read_database(
        request, lambda c: callbacks.list_callbacks(c, query, limit=limit, cursor=cursor)
    )
    return page_response(page, callback_document)


async def get_callback(request: AppRequest) -> Response:
    """GET /callbacks/{id}: with the request as it came, and the submissions that an orphan may belong to."""
    refuse_parameters(request)
    return await _callback_response(request, path_id(request))


async def join_callback(request: AppRequest) -> Response:
    """POST /callbacks/{id}/join: join it to our submission, or to that with the provider's id."""
    refuse_parameters(request)
    fields = await json_object(request)
    require_fields(fields, {"submission": str, "submission_id": str, "force": bool})
    force = bool(fields.pop("force", False))
    ids = {name: value for name, value in fields.items() if value}
    if len(ids) != 1:
        message = "is needed, unless `submission_id` is given: give exactly one of them"
        raise InvalidInput([FieldError(field="submission", message=message)])
    id, actions = path_id(request), request.state["program"].callback_actions
    try:
        await asyncio.to_thread(lambda: actions.join(id, **ids, force=force))
    except NumberMismatch as error:
        raise NumberMismatch(f'{error} To join it all the same, send {{"force": true}}.') from None
    return await _callback_response(request, id)


async def ignore_callback(request: AppRequest) -> Response:
    """POST /callbacks/{id}/ignore: it belongs to no call of ours."""
    refuse_parameters(request)
    require_fields(await json_object(request, may_be_empty=True), {})
    id, actions = path_id(request), request.state["program"].callback_actions
    await asyncio.to_thread(actions.ignore, id)
    return await _callback_response(request, id)


async def _callback_response(request: AppRequest, id: str) -> Response:
    details = await read_database(request, lambda c: load_callback_details(c, id))
    return json_response(callback_details_document(details))
