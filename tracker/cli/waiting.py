"""Waiting for one call: what is due is done here, its timeline is shown as it grows, and the provider is asked."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from math import inf
from typing import Any, Final

import typer

from tracker.cli.reading import call_and_timeline
from tracker.cli.terminal import harmless
from tracker.cli.views import View, shown
from tracker.errors import Conflict, ProviderError
from tracker.lifecycle.placing.idempotency import Placed
from tracker.lifecycle.services import Services
from tracker.worker import Worker

Document = Mapping[str, Any]

#: seconds between two looks at the database
_LOOK_S: Final = 0.25
#: seconds until the provider is asked first, and the longest pause between two questions
FIRST_ASK_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 15.0
_SLOWER: Final = 1.5


async def wait_for(
    program: Services,
    placed: Placed,
    *,
    patience_s: float,
    utc: bool,
    visible: bool,
    first_ask_s: float = FIRST_ASK_S,
) -> bool:
    """Send the call, and return True once it is settled, False when patience is over or Ctrl-C was pressed.

    A worker runs meanwhile, for callbacks may come in through a server and requests may have to be repeated. It is
    stopped in an orderly way: a request that is under way is ended and its answer recorded.
    """
    worker = Worker(program)
    loop = asyncio.get_running_loop()
    interrupted = _interrupted()
    working = asyncio.create_task(worker.run())
    try:
        if not placed.replayed:
            await program.sender.submit(placed.submission)
        with shown(utc=utc, visible=visible) as view:
            return await _until_settled(
                program, placed.call, view, interrupted, loop.time() + patience_s, first_ask_s
            )
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        worker.stop()
        await working


async def watch(
    program: Services, call_id: str, *, utc: bool, asks: bool, first_ask_s: float = FIRST_ASK_S
) -> bool:
    """Show the timeline as it grows; True once the call is settled, False when Ctrl-C was pressed.

    Sends nothing and does no work that is due. asks: ask the provider too, where the account has a token.
    """
    interrupted = _interrupted()
    try:
        with shown(utc=utc) as view:
            first = first_ask_s if asks else inf
            return await _until_settled(program, call_id, view, interrupted, inf, first)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


def _interrupted() -> asyncio.Event:
    """Set by Ctrl-C."""
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    return interrupted


async def _until_settled(
    program: Services, call_id: str, view: View, interrupted: asyncio.Event, until: float, first_ask_s: float
) -> bool:
    loop = asyncio.get_running_loop()
    ask_at, pause = loop.time() + first_ask_s, first_ask_s
    while True:
        call, events = await asyncio.to_thread(program.database.read, lambda c: call_and_timeline(c, call_id))
        view.update(call, events)
        if call["settled"]:
            return True
        if interrupted.is_set() or loop.time() >= until:
            return False
        if loop.time() >= ask_at:
            await _ask(program, call)
            pause = min(pause * _SLOWER, _LONGEST_PAUSE_S)
            ask_at = loop.time() + pause
        try:
            await asyncio.wait_for(interrupted.wait(), min(_LOOK_S, max(until - loop.time(), 0.01)))
        except TimeoutError:
            continue


async def _ask(program: Services, call: Document) -> None:
    """Ask about the attempts that are open and have the provider's id; a question that fails is asked again later."""
    account = program.accounts.get(call["account"])
    if account is None or not account.access_token:
        return
    for submission in call["submissions"]:
        if submission["submission_id"] and submission["outcome"] is None:
            try:
                await program.asker.ask(submission["id"])
            except (ProviderError, Conflict) as error:
                typer.echo(harmless(str(error)), err=True)
