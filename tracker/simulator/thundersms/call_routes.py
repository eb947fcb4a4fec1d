"""The provider's routes for calls: send, callstatus, and who am I."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tracker.simulator.options import SimulatorOptions
from tracker.simulator.requests import Invalid, Unreadable, fields, send_request
from tracker.simulator.scenarios import Refusal
from tracker.simulator.scheduler import CallScheduler
from tracker.simulator.state import ProviderState
from tracker.simulator.thundersms import responses
from tracker.simulator.thundersms.vocabulary import Fault

#: How often a hanging answer looks whether anybody still waits for it, in real seconds.
_LOOK_S = 0.05


class Sending:
    """`stopping` tells the hanging answers that the process wants to end."""

    def __init__(
        self,
        options: SimulatorOptions,
        world: ProviderState,
        stage: CallScheduler,
        *,
        now: Callable[[], datetime],
        stopping: Callable[[], bool],
    ) -> None:
        self._options = options
        self._world = world
        self._stage = stage
        self._now = now
        self._stopping = stopping

    def routes(self) -> list[Route]:
        """Relative to the prefix of the API."""
        return [
            Route("/outgoing/send", self.send, methods=["POST"]),
            Route("/outgoing/callstatus", self.call_status, methods=["GET"]),
            Route("/auth/me", self.me, methods=["GET"]),
        ]

    async def send(self, request: Request) -> Response:
        """Accept one call, or refuse it; then answer, or fail to."""
        generation = self._options.generation
        try:
            found = fields(request.headers.get("content-type", ""), await request.body())
            wish = send_request(found, webhook_ids=self._world.webhooks)
        except Unreadable as failure:
            return respond(responses.error(generation, 400, str(failure)))
        except Invalid as failure:
            return respond(responses.invalid(generation, failure.errors))
        call = self._world.submit(wish, now=self._now())
        if isinstance(call, Refusal):
            return respond(responses.refused(call, self._options))
        await self._stage.begin(call)
        if Fault.hang in call.story.faults:
            call.answer = "nothing"
            await self._hang(request)
            return Response(status_code=504)
        if Fault.error_after_accept in call.story.faults:
            call.answer = "500"
            return respond(responses.error(generation, 500, "Server Error"))
        return respond(responses.accepted(call, generation))

    async def call_status(self, request: Request) -> Response:
        """Records by id, cid, date or mobile; several of them must all fit."""
        keys = ("id", "cid", "date", "mobile")
        wanted = {key: request.query_params[key] for key in keys if request.query_params.get(key)}
        if not wanted:
            wrong = {"id": ["Give an id, cid, date or mobile."]}
            return respond(responses.invalid(self._options.generation, wrong))
        calls = self._world.find_calls(wanted)
        return respond(responses.call_status(calls, self._options, by_id="id" in wanted))

    async def me(self, request: Request) -> Response:
        """Checks a token: whoever gets here has a right one."""
        data = {"id": 1, "name": "Simulated account", "timezone": "Asia/Kolkata"}
        return respond(responses.ok(self._options.generation, "OK", data=data))

    async def _hang(self, request: Request) -> None:
        # Neither a signal nor the client's leaving can be awaited here, so both are looked for.
        while not self._stopping() and not await request.is_disconnected():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)


def respond(answer: responses.Answer) -> JSONResponse:
    """An answer over HTTP."""
    return JSONResponse(answer.body, answer.code, headers=dict(answer.headers))
