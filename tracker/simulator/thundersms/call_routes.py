"""Serves the provider's routes for calls: send, callstatus, and auth/me."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.simulator.options import SimulatorOptions
from tracker.simulator.scenarios import Refusal
from tracker.simulator.scheduler import CallScheduler
from tracker.simulator.state import ProviderState
from tracker.simulator.thundersms import responses
from tracker.simulator.thundersms.request_parsing import (
    InvalidFields,
    UnreadableBody,
    parse_fields,
    parse_send_request,
)
from tracker.simulator.thundersms.vocabulary import Fault

#: Real seconds between two looks of a hanging answer whether a client still waits for it.
_POLL_S = 0.05


class CallRoutes:
    """The routes of the simulated account's calls.

    now: the clock. is_stopping: whether the process wants to end, so that hanging answers give up.
    """

    def __init__(
        self,
        options: SimulatorOptions,
        state: ProviderState,
        scheduler: CallScheduler,
        *,
        now: Callable[[], datetime],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._options = options
        self._state = state
        self._scheduler = scheduler
        self._now = now
        self._is_stopping = is_stopping

    def routes(self) -> list[Route]:
        """Return the routes, relative to the prefix of the API."""
        return [
            Route("/outgoing/send", self.send, methods=["POST"]),
            Route("/outgoing/callstatus", self.call_status, methods=["GET"]),
            Route("/auth/me", self.show_account, methods=["GET"]),
        ]

    async def send(self, request: Request) -> Response:
        """Accept one call, or refuse it. Then answer, or fail to."""
        generation = self._options.generation
        try:
            fields = parse_fields(request.headers.get("content-type", ""), await request.body())
            send_request = parse_send_request(fields, webhook_ids=self._state.webhooks)
        except UnreadableBody as error:
            return responses.error(generation, 400, str(error)).to_response()
        except InvalidFields as error:
            return responses.invalid_fields(generation, error.errors).to_response()
        call = self._state.submit(send_request, now=self._now())
        if isinstance(call, Refusal):
            return responses.call_refused(call, self._options).to_response()
        await self._scheduler.begin(call)
        if Fault.hang in call.scenario.faults:
            call.answer = "nothing"
            await self._hang(request)
            return Response(status_code=504)
        if Fault.error_after_accept in call.scenario.faults:
            call.answer = "500"
            return responses.error(generation, 500, "Server Error").to_response()
        return responses.call_accepted(call, generation).to_response()

    async def call_status(self, request: Request) -> Response:
        """List records by id, cid, date or mobile. If several are given, all must match."""
        keys = ("id", "cid", "date", "mobile")
        query = {key: request.query_params[key] for key in keys if request.query_params.get(key)}
        if not query:
            errors = {"id": ["Give an id, cid, date or mobile."]}
            return responses.invalid_fields(self._options.generation, errors).to_response()
        calls = self._state.find_calls(query)
        return responses.call_status(calls, self._options, is_by_id="id" in query).to_response()

    async def show_account(self, request: Request) -> Response:
        """Show the account, and so that the token is right: other requests do not get here."""
        data = {"id": 1, "name": "Simulated account", "timezone": "Asia/Kolkata"}
        return responses.success(self._options.generation, "OK", data=data).to_response()

    async def _hang(self, request: Request) -> None:
        # Neither a signal nor the client's leaving can be awaited here, so both are polled.
        while not self._is_stopping() and not await request.is_disconnected():  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
