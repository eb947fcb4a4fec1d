"""Waits until a call is settled: shows its timeline as it grows, and asks the provider meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from math import inf
from typing import Any, Final

import typer

from tracker.cli.commands.calls.call_documents import load_call_documents
from tracker.cli.output.live_timeline import TimelineView, open_timeline_view
from tracker.cli.output.text import escape_control
from tracker.errors import Conflict, ProviderError
from tracker.lifecycle.joining.loop import JoinerThread
from tracker.lifecycle.placing.idempotency import Placed
from tracker.lifecycle.services import Services
from tracker.worker import Worker

Document = Mapping[str, Any]

#: seconds between two reads of the database
_READ_INTERVAL_S: Final = 0.25
#: seconds until the provider is asked first, and the longest interval between two questions
FIRST_ASK_S: Final = 5.0
_MAX_ASK_INTERVAL_S: Final = 15.0
#: factor by which the interval grows
_BACKOFF: Final = 1.5


async def wait_until_settled(
    services: Services,
    placed: Placed,
    *,
    timeout_s: float,
    utc: bool,
    visible: bool,
    first_ask_s: float = FIRST_ASK_S,
) -> bool:
    """Send the call; return True once it is settled, False after `timeout_s` seconds or Ctrl-C.

    A worker runs meanwhile, because callbacks may come in through a server, and requests may have to be repeated. It
    stops in an orderly way: a request that is under way is completed, and its answer recorded.
    """
    worker = Worker(services, JoinerThread(services.joiner))
    loop = asyncio.get_running_loop()
    interrupted = _interrupted_event()
    worker_task = asyncio.create_task(worker.run())
    try:
        if not placed.is_replayed:
            await services.sender.submit(placed.submission)
        with open_timeline_view(utc=utc, visible=visible) as view:
            return await _follow(
                services, placed.call, view, interrupted, loop.time() + timeout_s, first_ask_s
            )
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        worker.stop()
        await worker_task


async def watch_call(
    services: Services, call_id: str, *, utc: bool, asks: bool, first_ask_s: float = FIRST_ASK_S
) -> bool:
    """Show the timeline as it grows; return True once the call is settled, False after Ctrl-C.

    Sends nothing and does no due work. asks: also ask the provider, if the account has a token.
    """
    interrupted = _interrupted_event()
    try:
        with open_timeline_view(utc=utc) as view:
            first = first_ask_s if asks else inf
            return await _follow(services, call_id, view, interrupted, inf, first)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


def _interrupted_event() -> asyncio.Event:
    """Return an event that Ctrl-C sets."""
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    return interrupted


async def _follow(
    services: Services,
    call_id: str,
    view: TimelineView,
    interrupted: asyncio.Event,
    deadline: float,
    first_ask_s: float,
) -> bool:
    """Show and ask until the call is settled (True), or until the deadline or Ctrl-C (False)."""
    loop = asyncio.get_running_loop()
    ask_at, interval = loop.time() + first_ask_s, first_ask_s
    while True:
        call, events = await asyncio.to_thread(load_call_documents, services.database, call_id)
        view.update(call, events)
        if call["settled"]:
            return True
        if interrupted.is_set() or loop.time() >= deadline:
            return False
        if loop.time() >= ask_at:
            await _ask_provider(services, call)
            interval = min(interval * _BACKOFF, _MAX_ASK_INTERVAL_S)
            ask_at = loop.time() + interval
        try:
            pause = min(_READ_INTERVAL_S, max(deadline - loop.time(), 0.01))
            await asyncio.wait_for(interrupted.wait(), pause)
        except TimeoutError:
            continue


async def _ask_provider(services: Services, call: Document) -> None:
    """Ask about each open attempt that has the provider's id. A question that fails is repeated later."""
    account = services.accounts.get(call["account"])
    if account is None or not account.access_token:
        return
    for submission in call["submissions"]:
        if submission["submission_id"] and submission["outcome"] is None:
            try:
                await services.poller.poll(submission["id"])
            except (ProviderError, Conflict) as error:
                typer.echo(escape_control(str(error)), err=True)
