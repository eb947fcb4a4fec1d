"""Callbacks that a test stores without a server."""

from __future__ import annotations

import json

from tests.cli.conftest import ID, NUMBER
from tests.inbox import new_callback
from tracker.cli.context import open_services
from tracker.store.inbox import log, states


def receive_callbacks(body: bytes, *, state: str = states.PENDING, times: int = 1) -> list[str]:
    """Store equal callbacks, join them unless they are in quarantine, and return their ids."""
    with open_services() as services:
        new = [
            new_callback(body, query=b"a=\x1b[31m", headers=b"X-Odd: \x9b\x00\r\n", state=state)
            for _ in range(times)
        ]
        log.append(services.database, new)
        while services.joiner.join_batch():
            pass
    return [n.id for n in new]


def callback_body(status: str = "BUSY", **fields: str) -> bytes:
    """Return the body of a composed callback about the call with ID."""
    body = {"id": ID, "status": status, "to": NUMBER[1:], "start_at": "", "end_at": "", **fields}
    return json.dumps(body).encode()
