"""The simulator as a process: binds, says where, serves until SIGTERM or SIGINT, and ends with 0."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from tracker.simulator.app import CONTROL, PREFIX, create_app
from tracker.simulator.options import SimulatorOptions, WrongOption

#: Real seconds that answers under way have to finish after a signal.
_GRACE_S = 2


class _Server(uvicorn.Server):
    """Ends with exit status 0: uvicorn would raise the signal again after a clean shutdown."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


def run(options: SimulatorOptions, *, ready: Callable[[str, str], None]) -> None:
    """Serve until a signal. Once requests are taken, `ready` hears the base URL of the provider's API
    (`http://…/api/v2/`) and that of the control surface (`http://…/simulator/`).

    Raises WrongOption if the address cannot be bound.
    """
    listener = _bind(options.host, options.port)
    port = listener.getsockname()[1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    origin = f"http://{host}:{port}"
    servers: list[_Server] = []
    app = create_app(options, stopping=lambda: any(server.should_exit for server in servers))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, proxy_headers=False, timeout_graceful_shutdown=_GRACE_S
    )
    servers.append(_Server(config, ready=lambda: ready(f"{origin}{PREFIX}/", f"{origin}{CONTROL}/")))
    try:
        servers[0].run(sockets=[listener])
    finally:
        listener.close()


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as failure:
        listener.close()
        why = failure.strerror or failure
        raise WrongOption(
            f"cannot listen on {host}:{port}: {why}; choose another --port (0: any)"
        ) from failure
    return listener
