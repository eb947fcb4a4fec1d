"""The endpoints `/api/v1/pause` and `/api/v1/resume`."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from tracker.web.api.documents import pause_document
from tracker.web.api.params import json_object, refuse_parameters, require_fields
from tracker.web.api.responses import json_response
from tracker.web.state import AppRequest


async def pause(request: AppRequest) -> Response:
    """POST /pause: stop dialling for all calls, an account or a campaign."""
    fields = await _read_scope(request)
    pauser = request.state["program"].pauser
    pauses = await asyncio.to_thread(lambda: pauser.pause(**fields))
    return json_response({"paused": [pause_document(each) for each in pauses]})


async def resume(request: AppRequest) -> Response:
    """POST /resume: lift the pause of exactly this scope."""
    fields = await _read_scope(request)
    pauser = request.state["program"].pauser
    resumed = await asyncio.to_thread(lambda: pauser.resume(**fields))
    pauses = await asyncio.to_thread(pauser.list_pauses)
    return json_response({"paused": [pause_document(each) for each in pauses], "released": resumed.released})


async def _read_scope(request: AppRequest) -> dict[str, Any]:
    refuse_parameters(request)
    fields = await json_object(request, may_be_empty=True)
    require_fields(fields, {"account": str, "campaign": str})
    return {name: value for name, value in fields.items() if value is not None}
