"""The composition root: routes, and a lifespan that puts the parts together and takes them apart again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tracker.clock import Clock, system_clock
from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.lifecycle.services import build_services
from tracker.settings import Settings
from tracker.store.engine.database import THREADS, Database
from tracker.store.schema.upgrade import prepare
from tracker.web import health
from tracker.web.api import routes as api
from tracker.web.api.params import Unparsable
from tracker.web.callbacks.endpoint import ADDRESSES, Callbacks
from tracker.web.callbacks.fast_path import FastPath
from tracker.web.callbacks.sanitize import RequestSanitizer
from tracker.web.http import body, problems
from tracker.web.http.access_log import AccessLog
from tracker.web.readiness import ReadinessProbe
from tracker.web.state import State
from tracker.worker import Worker

log = structlog.get_logger()

#: seconds that requests may take to be answered once the server stops, and then sends to end
REQUESTS_GRACE_S: Final = 8
GRACE_S: Final = 12.0


def create_app(
    settings: Settings,
    *,
    run_worker: bool = True,
    clock: Clock = system_clock,
    stopping: asyncio.Event | None = None,
) -> Starlette:
    """The server's application. Raises ConfigurationError; its lifespan raises SchemaMismatch, StorageUnavailable.

    run_worker: whether due steps are run in this process, too. stopping: set it when the server begins to stop, before
    the lifespan ends: requests that wait for the provider are then answered.
    """
    accounts = settings.account_values()
    stopping = stopping or asyncio.Event()
    callbacks, prefix = Callbacks(accounts), _path_of(settings.server.public_url)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[State]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "database"))
        database = Database(settings.database_url)
        try:
            await asyncio.to_thread(prepare, database, create=True)
            program = build_services(database, accounts, clock, keep=settings.retention.keep, beside=True)
            worker = Worker(program) if run_worker else None
            inbox = InboxWriter(database, stored=worker.wake if worker else lambda _: None, clock=clock)
            inbox.start()
            if worker:
                worker.crowd = lambda: inbox.crowd
            working = asyncio.create_task(_work(worker)) if worker else None
            until_stopping = asyncio.create_task(_stop_with(stopping, worker))
            sends: set[asyncio.Task[None]] = set()
            keeper = RequestSanitizer(accounts, settings.secrets(), settings.server.trusted_proxies)
            shortcut = FastPath(callbacks, accounts, prefix, keeper, inbox, clock)
            yield {
                "program": program,
                "inbox": inbox,
                "doorkeeper": keeper,
                # where each request is logged, each goes the whole way
                "shortcut": None if callbacks.logs_all else shortcut,
                "worker": worker,
                "sends": sends,
                "stopping": stopping,
                "trial": ReadinessProbe(database, clock),
                "api_token": settings.api_token,
            }
            # what was accepted is finished: sends that are under way, callbacks that wait for their commit
            stopping.set()
            if worker:
                worker.stop()
            if left := {*sends, *([working] if working else [])}:
                await asyncio.wait(left, timeout=GRACE_S)
            await inbox.stop()
            await until_stopping
        finally:
            database.close()

    routes: list[Route] = [
        Route("/healthz", health.healthz, methods=["GET"]),
        Route("/readyz", health.readyz, methods=["GET"]),
        Route("/statusz", health.statusz, methods=["GET"]),
        *api.ROUTES,
        *(Route(address, callbacks) for address in ADDRESSES),
    ]
    app = _Application(
        callbacks,
        Prefix(prefix, routes),
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(AccessLog)],
        exception_handlers={**problems.HANDLERS, Unparsable: _unparsable, body.TooLarge: _too_large},
    )
    app.router.redirect_slashes = False
    return app


async def _stop_with(stopping: asyncio.Event, worker: Worker | None) -> None:
    """From the signal on the worker begins nothing new, while requests are still answered."""
    await stopping.wait()
    if worker is not None:
        worker.stop()


async def _work(worker: Worker) -> None:
    try:
        await worker.run()
    except Exception:
        worker.failed = True
        log.exception("worker.ended")


class _Application(Starlette):
    """Starlette, and in front of all its layers the door for callbacks."""

    def __init__(self, callbacks: Callbacks, prefix: Prefix, **options: Any) -> None:
        super().__init__(**options)
        self._callbacks, self._prefix = callbacks, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._prefix.take_off(scope)
            if self._callbacks.owns(scope["path"].removeprefix(scope["root_path"])):
                await self._callbacks(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


class Prefix:
    """A proxy in front may strip the path prefix of `server.public_url`, or leave it: both arrive here."""

    def __init__(self, prefix: str, routes: Sequence[Route]) -> None:
        self._prefix = prefix
        # a prefix may look like the beginning of an address of ours: what is left must be one
        self._firsts = {route.path.split("/")[1] for route in routes}

    def take_off(self, scope: Scope) -> None:
        prefix = self._prefix
        if prefix and scope["path"].startswith(prefix + "/"):
            first = scope["path"].removeprefix(prefix).split("/")[1]
            if first in self._firsts:
                scope["root_path"] = prefix


def _path_of(url: str | None) -> str:
    return urlsplit(url).path.rstrip("/") if url else ""


def _unparsable(_request: Request, error: Exception) -> Response:
    return problems.problem(400, str(error))


def _too_large(_request: Request, _error: Exception) -> Response:
    return problems.problem(413, "A request may have 1 MiB.", headers={"Connection": "close"})
