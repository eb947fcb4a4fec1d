"""The server process: one uvicorn around the application."""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
from types import FrameType
from typing import Any, Final, cast

import structlog
import uvicorn

from tracker import runtime
from tracker.errors import ConfigurationError
from tracker.settings import Settings
from tracker.store.engine import file_rights
from tracker.store.engine.database import Database
from tracker.store.schema.upgrade import prepare
from tracker.web.app import REQUESTS_GRACE_S, create_app
from tracker.web.http.limits import ConnectionGuard, most_connections
from tracker.web.http.protocol import HardenedProtocol

log = structlog.get_logger()

_TICKS_A_SECOND: Final = 10
#: seconds that a server which stops waits for requests of which a part has come
_UNFINISHED_GRACE_S: Final = 2.0


class _Server(uvicorn.Server):
    """Ends with 0 after a signal, says where it listens, and tells the application when it begins to stop."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, overseer: ConnectionGuard) -> None:
        super().__init__(config)
        self._stopping, self._overseer = stopping, overseer

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # else the signal is raised once more when everything is over, and the exit status is the signal's
        self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            host, port = each.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            log.info("server.listening", url=f"http://{shown}:{port}")

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_A_SECOND == 0:
            self._overseer.look_around(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        asyncio.get_running_loop().call_later(_UNFINISHED_GRACE_S, self._overseer.cut)
        await super().shutdown(sockets)


def run(settings: Settings, *, host: str, port: int, run_worker: bool) -> None:
    """Serve until a signal. Raises ConfigurationError, before the database is touched, if it cannot listen; then
    SchemaMismatch and StorageUnavailable."""
    listening = _listen(host, port)
    try:
        _prepare(settings.database_url)
        stopping = asyncio.Event()
        overseer = ConnectionGuard(most_connections())
        app = create_app(settings, run_worker=run_worker, stopping=stopping)
        config = uvicorn.Config(
            app,
            http=cast(Any, functools.partial(HardenedProtocol, overseer, app.fast_path)),
            ws="none",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=REQUESTS_GRACE_S,
            lifespan="on",
        )
        server = _Server(config, stopping, overseer)
        runtime.tune_runtime()
        server.run(sockets=[listening])
    finally:
        listening.close()
    if not server.started:
        raise ConfigurationError("The server could not start; the log above says why.")


def _prepare(url: str) -> None:
    """Make sure of the database here, where a refusal is a sentence; inside uvicorn it would be a traceback."""
    database = Database(url)
    try:
        prepare(database, create=True)
        # it may become writable while we run; until then /readyz and every callback are answered 503
        for problem in file_rights.obstacles(database):
            log.error("database.not_writable", problem=problem)
    finally:
        database.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            message = (
                f"Port {port} on {host} is taken: another tracker? Choose another with --port or server.port."
            )
        else:
            message = f"The server cannot listen on {host}:{port}: {error.strerror or error}."
        raise ConfigurationError(message) from None
    listening.set_inheritable(True)
    return listening
