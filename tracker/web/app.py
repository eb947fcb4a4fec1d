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
from tracker.web.api.params import MalformedBody
from tracker.web.callbacks.endpoint import ROUTES, CallbackEndpoint, is_callback_path
from tracker.web.callbacks.fast_path import FastPath
from tracker.web.callbacks.intake import CallbackIntake
from tracker.web.callbacks.sanitize import RequestSanitizer
from tracker.web.http import problems
from tracker.web.http.access_log import AccessLog
from tracker.web.http.body import BodyTooLarge
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
) -> Application:
    """The server's application. Raises ConfigurationError; its lifespan raises SchemaMismatch, StorageUnavailable.

    run_worker: whether due steps are run in this process, too. stopping: set it when the server begins to stop, before
    the lifespan ends: requests that wait for the provider are then answered.
    """
    accounts = settings.account_values()
    stopping = stopping or asyncio.Event()
    sanitizer = RequestSanitizer(accounts, settings.secrets(), settings.server.trusted_proxies)
    intake = CallbackIntake(accounts, sanitizer, clock)
    prefix = _path_of(settings.server.public_url)

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
            yield {
                "program": program,
                "inbox": inbox,
                "worker": worker,
                "sends": sends,
                "stopping": stopping,
                "find_storage_problems": health.ReadinessProbe(database, clock).find_problems,
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

    endpoint = CallbackEndpoint(intake)
    routes: list[Route] = [
        Route("/healthz", health.healthz, methods=["GET"]),
        Route("/readyz", health.readyz, methods=["GET"]),
        Route("/statusz", health.statusz, methods=["GET"]),
        *api.ROUTES,
        *(Route(route, endpoint) for route in ROUTES),
    ]
    app = Application(
        endpoint,
        # the endpoint logs successful callbacks at debug level; the fast path does not
        None if endpoint.logs_success else FastPath(intake, prefix),
        Prefix(prefix, routes),
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(AccessLog)],
        exception_handlers={**problems.HANDLERS, MalformedBody: _malformed_body, BodyTooLarge: _too_large},
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


class Application(Starlette):
    """The server's application: Starlette, with the endpoint of callbacks in front of its middleware."""

    def __init__(
        self, endpoint: CallbackEndpoint, fast_path: FastPath | None, prefix: Prefix, **options: Any
    ) -> None:
        """fast_path: for the HTTP protocol. None: every callback goes to the endpoint."""
        super().__init__(**options)
        self.fast_path = fast_path
        self._endpoint, self._prefix = endpoint, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._prefix.take_off(scope)
            if is_callback_path(scope["path"].removeprefix(scope["root_path"])):
                await self._endpoint(scope, receive, send)
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


def _malformed_body(_request: Request, error: Exception) -> Response:
    return problems.problem(400, str(error))


def _too_large(_request: Request, _error: Exception) -> Response:
    return problems.problem(413, "A request may have 1 MiB.", headers={"Connection": "close"})
