"""What every request finds: the parts that the lifespan put together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypedDict

from starlette.requests import Request

from tracker.flow.program import Program
from tracker.flow.receiving import Inbox
from tracker.web.doorkeeper import Doorkeeper
from tracker.web.trial import Trial
from tracker.worker import Worker

if TYPE_CHECKING:
    from tracker.web.shortcut import Shortcut


class State(TypedDict):
    program: Program
    inbox: Inbox
    doorkeeper: Doorkeeper
    #: for callbacks that are like nearly all; None where there is none
    shortcut: Shortcut | None
    worker: Worker | None
    #: sends that were begun by a request and outlive it
    sends: set[asyncio.Task[None]]
    #: set when the server begins to stop
    stopping: asyncio.Event
    #: tells whether a callback can be stored
    trial: Trial
    api_token: str | None


AppRequest = Request[State]
