"""The server process: uvicorn around the application, with our HTTP protocol."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Final, cast

import structlog
import uvicorn

from tracker import runtime
from tracker.errors import ConfigurationError
from tracker.lifecycle.joining.loop import JoinerRunner
from tracker.settings import Settings
from tracker.store.engine import file_rights
from tracker.store.engine.database import Database
from tracker.store.inbox.inbox_file import one_receiver
from tracker.store.schema.upgrade import prepare
from tracker.web.app import REQUESTS_GRACE_S, create_app
from tracker.web.http.connection_guard import ConnectionGuard
from tracker.web.http.limits import Limits, find_max_connections
from tracker.web.http.protocol import HardenedProtocol

log = structlog.get_logger()

#: How often uvicorn calls `on_tick`.
_TICKS_PER_S: Final = 10
#: Connections that the system accepts before we do.
_BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """A uvicorn server that checks deadlines, tells the application when it stops, and exits with 0 after a signal."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, guard: ConnectionGuard) -> None:
        super().__init__(config)
        self._stopping, self._guard = stopping, guard

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # Otherwise uvicorn raises the signal again at the end, and the exit status is that of the signal.
        self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            host, port = each.getsockname()[:2]
            url_host = f"[{host}]" if ":" in host else host
            log.info("server.listening", url=f"http://{url_host}:{port}")

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_S == 0:
            self._guard.check_deadlines(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        loop = asyncio.get_running_loop()
        loop.call_later(self._guard.limits.shutdown_grace_s, self._guard.abort_unfinished)
        await super().shutdown(sockets)


def run(
    settings: Settings,
    *,
    host: str,
    port: int,
    run_worker: bool,
    joiner: JoinerRunner | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve until a signal.

    Raises ConfigurationError if it cannot listen, before it touches the database. Then raises SchemaMismatch,
    StorageUnavailable, and Conflict if another server stores callbacks in the same SQLite database.
    """
    listener = _listen(host, port)
    with contextlib.ExitStack() as stack:
        stack.callback(listener.close)
        if inbox := _prepare_database(settings.database_url):
            stack.enter_context(one_receiver(inbox))
        stopping = asyncio.Event()
        limits = limits or Limits()
        guard = ConnectionGuard(replace(limits, max_connections=find_max_connections(limits.max_connections)))
        app = create_app(settings, run_worker=run_worker, joiner=joiner, stopping=stopping)
        config = uvicorn.Config(
            app,
            http=cast(Any, functools.partial(HardenedProtocol, guard, app.fast_path)),
            ws="none",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=REQUESTS_GRACE_S,
            lifespan="on",
        )
        server = _Server(config, stopping, guard)
        runtime.tune_runtime()
        server.run(sockets=[listener])
    if not server.started:
        raise ConfigurationError("The server could not start. The log above says why.")


def _prepare_database(url: str) -> Path | None:
    """Create or check the database; return SQLite's inbox file, None on PostgreSQL.

    Inside uvicorn a refusal would be a traceback instead of a sentence.
    """
    database = Database(url)
    try:
        prepare(database, create=True)
        # No reason to end: it can become writable while we run. Until then /readyz and callbacks are answered 503.
        for problem in file_rights.obstacles(database):
            log.error("database.write_check_failed", problem=problem)
        return database.inbox.path
    finally:
        database.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = (
                f"Port {port} on {host} is in use, perhaps by another tracker. "
                "Choose another port with --port or server.port."
            )
        else:
            message = f"The server cannot listen on {host}:{port}: {error.strerror or error}."
        raise ConfigurationError(message) from None
    listener.set_inheritable(True)
    return listener
