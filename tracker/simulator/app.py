"""Composes the simulated provider: a Starlette application from its parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import cast

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from tracker.simulator.auth import TokenGuard, login_route
from tracker.simulator.callback_sender import CallbackSender
from tracker.simulator.inspection_routes import InspectionRoutes
from tracker.simulator.options import SimulatorOptions
from tracker.simulator.recorder import RequestLog, RequestRecorder
from tracker.simulator.scheduler import CallScheduler
from tracker.simulator.state import ProviderState
from tracker.simulator.thundersms import responses
from tracker.simulator.thundersms.call_routes import CallRoutes
from tracker.simulator.thundersms.webhook_routes import WebhookRoutes

#: The beginning of the provider's API; an account's base_url ends with it.
API_PREFIX = "/api/v2"
#: The beginning of the routes that show what happened.
INSPECTION_PREFIX = "/simulator"


def create_app(
    options: SimulatorOptions,
    *,
    now: Callable[[], datetime] | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """Return a provider that starts empty, except for the webhooks of its options.

    now: the clock of its times; the wall clock unless given. is_stopping: whether hanging answers have to give up.
    transport: replaces the network for callbacks. Its lifespan must run, because it stops the calls that still ring.
    """
    now = now or (lambda: datetime.now(UTC))

    async def pause(seconds: float) -> None:
        await asyncio.sleep(seconds / options.speed)

    state = ProviderState(options, now=now())
    request_log = RequestLog(now=now)
    sender = CallbackSender(options, now=now, pause=pause, transport=transport)
    scheduler = CallScheduler(options, state, sender, now=now, pause=pause)
    calls = CallRoutes(options, state, scheduler, now=now, is_stopping=is_stopping)
    webhooks = WebhookRoutes(options, state, sender, now=now)
    inspection = InspectionRoutes(state, scheduler, request_log)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await scheduler.close()
        await sender.close()

    async def answer_http_error(request: Request, error: Exception) -> Response:
        problem = cast(HTTPException, error)  # the only class that it is registered for
        return responses.error(options.generation, problem.status_code, problem.detail).to_response()

    api = Mount(
        API_PREFIX,
        routes=[*calls.routes(), *webhooks.routes()],
        middleware=[
            Middleware(RequestRecorder, request_log=request_log),
            Middleware(TokenGuard, token=options.token, generation=options.generation),
        ],
    )
    return Starlette(
        routes=[
            api,
            Mount(INSPECTION_PREFIX, routes=inspection.routes()),
            login_route(),
            Route("/", _welcome, methods=["GET"]),
        ],
        exception_handlers={HTTPException: answer_http_error},
        lifespan=lifespan,
    )


async def _welcome(request: Request) -> Response:
    return PlainTextResponse("This is a simulated provider: no phone rings. See /simulator/calls.\n")
