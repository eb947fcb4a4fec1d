"""Plays the scenarios in sped-up time: waits, dials, hangs up, and hands the callbacks to the sender.

The times that are written down are real: a callback says that the call ended when it really ended here, because its
receiver compares that with its own clock. Only the waiting is divided by `speed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

from tracker.simulator.callback_sender import CallbackSender
from tracker.simulator.options import SimulatorOptions
from tracker.simulator.state import AcceptedCall, CallbackAttempt, Dial, ProviderState
from tracker.simulator.thundersms.callback_payloads import compose_callback
from tracker.simulator.thundersms.vocabulary import Fault

#: The longest that a callback waits to be overtaken by another call's, in simulated seconds.
OVERTAKEN_WITHIN_S = 120.0
#: Between two copies of one callback, in simulated seconds.
DUPLICATE_AFTER_S = 5.0
#: Real seconds between two dials. Times are written in whole seconds, and those of two dials must differ.
MIN_REDIAL_GAP_S = 1.05


class CallScheduler:
    """The calls under way. They run as tasks of the event loop that first calls `begin`.

    now: the clock. pause: sleeps for a number of simulated seconds.
    """

    def __init__(
        self,
        options: SimulatorOptions,
        state: ProviderState,
        sender: CallbackSender,
        *,
        now: Callable[[], datetime],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._options = options
        self._state = state
        self._sender = sender
        self._now = now
        self._pause = pause
        self._tasks: set[asyncio.Task[None]] = set()
        #: callbacks that wait until another call's callback is posted
        self._waiting_to_be_overtaken: set[asyncio.Event] = set()

    @property
    def running(self) -> int:
        """The number of calls that ring and callbacks that are on their way; 0 if nothing is left to do."""
        return len(self._tasks)

    async def begin(self, call: AcceptedCall) -> None:
        """Start a call. Return at once, or, if its callback is to be early, when that was posted once."""
        if Fault.early not in call.scenario.faults:
            self._spawn(self._play(call))
            return
        # The answer to send waits for this dial, so it takes no time.
        dial = Dial(planned=call.scenario.dials[0], started_at=self._now(), ended_at=self._now())
        call.dials.append(dial)
        posted = asyncio.Event()
        self._spawn(self._report(call, dial, posted))
        self._spawn(self._play(call))
        await posted.wait()

    async def close(self) -> None:
        """Cancel all calls and callbacks that are under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _play(self, call: AcceptedCall) -> None:
        dials = call.scenario.dials
        is_reversed = Fault.out_of_order in call.scenario.faults and len(dials) > 1
        for index in range(len(call.dials), len(dials)):
            if index == 0:
                await self._pause(call.scenario.queue_s)
            else:
                interval_s = call.request.interval_min * 60 / self._options.speed
                await asyncio.sleep(max(interval_s, MIN_REDIAL_GAP_S))
            dial = Dial(planned=dials[index], started_at=self._now())
            call.dials.append(dial)
            await self._pause(dial.planned.ring_s + dial.planned.talk_s)
            dial.ended_at = self._now()
            if not is_reversed:
                self._spawn(self._report(call, dial))
        if is_reversed:
            for dial in reversed(call.dials):
                await self._report(call, dial)

    async def _report(self, call: AcceptedCall, dial: Dial, posted: asyncio.Event | None = None) -> None:
        """Post the callback of an ended dial as its faults want it. `posted` is set after one attempt."""
        faults = call.scenario.faults
        try:
            if Fault.never in faults:
                return
            if Fault.late in faults:
                await self._pause(self._options.late_by_s)
            elif Fault.out_of_order in faults and len(call.scenario.dials) == 1:
                await self._wait_to_be_overtaken()
            await self._post(call, dial, posted)
        finally:
            if posted is not None:
                posted.set()
        if Fault.duplicate in faults:
            await self._pause(DUPLICATE_AFTER_S)
            await self._post(call, dial)

    async def _post(self, call: AcceptedCall, dial: Dial, posted: asyncio.Event | None = None) -> None:
        def record_attempt(attempt: CallbackAttempt) -> None:
            call.callback_attempts.append(attempt)
            if posted is not None:
                posted.set()
            while self._waiting_to_be_overtaken:
                self._waiting_to_be_overtaken.pop().set()

        callbacks = [compose_callback(call, dial, webhook) for webhook in self._state.webhooks_for(call)]
        await asyncio.gather(*(self._sender.deliver(callback, record_attempt) for callback in callbacks))

    async def _wait_to_be_overtaken(self) -> None:
        overtaken = asyncio.Event()
        self._waiting_to_be_overtaken.add(overtaken)
        try:
            async with asyncio.timeout(OVERTAKEN_WITHIN_S / self._options.speed):
                await overtaken.wait()
        except TimeoutError:
            self._waiting_to_be_overtaken.discard(overtaken)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
