"""What every request finds: the parts that the lifespan put together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypedDict

from starlette.requests import Request

from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.lifecycle.services import Services
from tracker.web.callbacks.sanitize import RequestSanitizer
from tracker.web.readiness import ReadinessProbe
from tracker.worker import Worker

if TYPE_CHECKING:
    from tracker.web.callbacks.fast_path import FastPath


class State(TypedDict):
    program: Services
    inbox: InboxWriter
    doorkeeper: RequestSanitizer
    #: for callbacks that are like nearly all; None where there is none
    shortcut: FastPath | None
    worker: Worker | None
    #: sends that were begun by a request and outlive it
    sends: set[asyncio.Task[None]]
    #: set when the server begins to stop
    stopping: asyncio.Event
    #: tells whether a callback can be stored
    trial: ReadinessProbe
    api_token: str | None


AppRequest = Request[State]
