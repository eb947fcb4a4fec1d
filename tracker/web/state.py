"""The state of a running server, which its lifespan sets up and every request carries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypedDict

from starlette.requests import Request

from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.lifecycle.services import Services
from tracker.worker import Worker


class State(TypedDict):
    """The parts of the server that requests use."""

    program: Services
    inbox: InboxWriter
    #: None if `tracker worker` runs elsewhere
    worker: Worker | None
    #: submissions that a request has begun; they outlive it
    sends: set[asyncio.Task[None]]
    #: set when the server begins to stop
    stopping: asyncio.Event
    #: returns the reasons, as sentences, why a callback cannot be stored
    find_storage_problems: Callable[[], Awaitable[list[str]]]
    #: `server.api_token`
    api_token: str | None


AppRequest = Request[State]
