"""Runs the simulator as a process: binds, tells its address, serves until SIGTERM or SIGINT, and ends with 0."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from tracker.simulator.app import API_PREFIX, INSPECTION_PREFIX, create_app
from tracker.simulator.options import InvalidOption, SimulatorOptions

#: Real seconds that answers under way have to finish after a signal.
_GRACE_S = 2


class _Server(uvicorn.Server):
    """A server that ends with exit status 0: uvicorn would raise the signal again after a clean shutdown."""

    def __init__(self, config: uvicorn.Config, *, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


def run(options: SimulatorOptions, *, on_ready: Callable[[str, str], None]) -> None:
    """Serve until a signal.

    on_ready: called when requests are accepted, with the base URL of the provider's API (`http://…/api/v2/`) and that
    of the inspection routes (`http://…/simulator/`). Raises InvalidOption if the address cannot be bound.
    """
    listener = _bind_socket(options.host, options.port)
    port = listener.getsockname()[1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    origin = f"http://{host}:{port}"
    servers: list[_Server] = []
    app = create_app(options, is_stopping=lambda: any(server.should_exit for server in servers))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, proxy_headers=False, timeout_graceful_shutdown=_GRACE_S
    )
    servers.append(
        _Server(config, on_ready=lambda: on_ready(f"{origin}{API_PREFIX}/", f"{origin}{INSPECTION_PREFIX}/"))
    )
    try:
        servers[0].run(sockets=[listener])
    finally:
        listener.close()


def _bind_socket(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or error
        raise InvalidOption(
            f"The simulator cannot listen on {host}:{port}: {reason}. Choose another `--port` (0: any)."
        ) from error
    return listener
