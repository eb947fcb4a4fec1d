"""The simulated provider as a Starlette application: the composition root."""

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
from tracker.simulator.inspection_routes import Control
from tracker.simulator.options import SimulatorOptions
from tracker.simulator.recorder import Record, Recorder
from tracker.simulator.scheduler import CallScheduler
from tracker.simulator.state import ProviderState
from tracker.simulator.thundersms import responses
from tracker.simulator.thundersms.call_routes import Sending, respond
from tracker.simulator.thundersms.webhook_routes import Developer

#: Where the provider's API begins; an account's base_url ends with it.
PREFIX = "/api/v2"
#: Where tests and the demo look behind the scenes.
CONTROL = "/simulator"


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def never() -> bool:
    """Nobody wants to stop."""
    return False


def create_app(
    options: SimulatorOptions,
    *,
    now: Callable[[], datetime] = utc_now,
    stopping: Callable[[], bool] = never,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """A provider that starts empty, but for the webhooks of its options.

    `now` is the clock that its times are read from, `stopping` tells hanging answers to give up, `transport`
    replaces the network for callbacks. Run its lifespan: it stops the calls that still ring.
    """

    async def pause(seconds: float) -> None:
        await asyncio.sleep(seconds / options.speed)

    world = ProviderState(options, now=now())
    record = Record(now=now)
    postman = CallbackSender(options, now=now, pause=pause, transport=transport)
    stage = CallScheduler(options, world, postman, now=now, pause=pause)
    sending = Sending(options, world, stage, now=now, stopping=stopping)
    developer = Developer(options, world, postman, now=now)
    control = Control(world, stage, record)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await stage.close()
        await postman.close()

    async def not_there(request: Request, failure: Exception) -> Response:
        problem = cast(HTTPException, failure)  # all that it is registered for
        return respond(responses.error(options.generation, problem.status_code, problem.detail))

    api = Mount(
        PREFIX,
        routes=[*sending.routes(), *developer.routes()],
        middleware=[
            Middleware(Recorder, record=record),
            Middleware(TokenGuard, token=options.token, generation=options.generation),
        ],
    )
    return Starlette(
        routes=[
            api,
            Mount(CONTROL, routes=control.routes()),
            login_route(),
            Route("/", _welcome, methods=["GET"]),
        ],
        exception_handlers={HTTPException: not_there},
        lifespan=lifespan,
    )


async def _welcome(request: Request) -> Response:
    return PlainTextResponse("This is a simulated provider: no phone rings. See /simulator/calls.\n")
