"""The composition root of the server: its routes, and the lifespan that sets its parts up and tears them down."""

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
from tracker.lifecycle.joining.loop import JoinerRunner, JoinerThread
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

#: Seconds that a stopping server waits for responses, and then for submissions and the worker.
REQUESTS_GRACE_S: Final = 8
TASKS_GRACE_S: Final = 12.0


def create_app(
    settings: Settings,
    *,
    run_worker: bool = True,
    joiner: JoinerRunner | None = None,
    clock: Clock = system_clock,
    stopping: asyncio.Event | None = None,
) -> Application:
    """Return the server's application.

    run_worker: whether this process does due work, too. joiner: what keeps the joiner running; a thread of this
    process if it is not given. stopping: set it when the server begins to stop, so that
    requests that wait for the provider are answered before the lifespan ends.
    Raises ConfigurationError. Its lifespan raises SchemaMismatch and StorageUnavailable.
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
            program = build_services(database, accounts, clock, keep=settings.retention.keep)
            worker = Worker(program, joiner or JoinerThread(program.joiner)) if run_worker else None
            inbox = InboxWriter(database, clock)
            inbox.start()
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
            # Finish what was accepted: submissions that have begun, callbacks that wait for their commit.
            stopping.set()
            if worker:
                worker.stop()
            if tasks := {*sends, *([working] if working else [])}:
                await asyncio.wait(tasks, timeout=TASKS_GRACE_S)
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
        # The endpoint logs successful callbacks at debug level. The fast path logs none.
        None if endpoint.is_success_logged else FastPath(intake, prefix),
        PathPrefix(prefix, routes),
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(AccessLog)],
        exception_handlers={**problems.HANDLERS, MalformedBody: _malformed_body, BodyTooLarge: _too_large},
    )
    app.router.redirect_slashes = False
    return app


async def _stop_with(stopping: asyncio.Event, worker: Worker | None) -> None:
    """Stop the worker as soon as the server begins to stop, while requests are still answered."""
    await stopping.wait()
    if worker is not None:
        worker.stop()


async def _work(worker: Worker) -> None:
    try:
        await worker.run()
    except Exception:
        worker.failed = True
        log.exception("worker.run_failed")


class Application(Starlette):
    """The server's application: Starlette, with the endpoint of callbacks in front of its middleware."""

    def __init__(
        self, endpoint: CallbackEndpoint, fast_path: FastPath | None, prefix: PathPrefix, **options: Any
    ) -> None:
        """fast_path: for the HTTP protocol. None: every callback goes to the endpoint."""
        super().__init__(**options)
        self.fast_path = fast_path
        self._endpoint, self._prefix = endpoint, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._prefix.set_root_path(scope)
            if is_callback_path(scope["path"].removeprefix(scope["root_path"])):
                await self._endpoint(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


class PathPrefix:
    """The path of `server.public_url`, which a proxy may strip from requests or leave."""

    def __init__(self, prefix: str, routes: Sequence[Route]) -> None:
        self._prefix = prefix
        # The prefix can look like the beginning of one of our paths, so what follows it must be one.
        self._first_segments = {route.path.split("/")[1] for route in routes}

    def set_root_path(self, scope: Scope) -> None:
        """Declare the prefix as the `root_path` of the request if its path begins with it."""
        prefix, path = self._prefix, scope["path"]
        if not prefix or not path.startswith(prefix + "/"):
            return
        if path.removeprefix(prefix).split("/")[1] in self._first_segments:
            scope["root_path"] = prefix


def _path_of(url: str | None) -> str:
    return urlsplit(url).path.rstrip("/") if url else ""


def _malformed_body(_request: Request, error: Exception) -> Response:
    return problems.problem(400, str(error))


def _too_large(_request: Request, _error: Exception) -> Response:
    return problems.problem(413, "The request exceeds 1 MiB.", headers={"Connection": "close"})
