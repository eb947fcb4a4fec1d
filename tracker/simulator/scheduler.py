"""Plays the stories: waits, dials, hangs up, and hands the callbacks to the postman, all in sped-up time.

The times that are written down are real: a callback says that the call ended when it really did end here, for
that is what its receiver compares with its own clock. Only the waiting is divided by `speed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

from tracker.simulator.callback_sender import CallbackSender
from tracker.simulator.options import SimulatorOptions
from tracker.simulator.state import Call, Delivery, Dial, ProviderState
from tracker.simulator.thundersms.callback_payloads import compose
from tracker.simulator.thundersms.vocabulary import Fault

#: The longest that a callback waits for being overtaken by another call's, in simulated seconds.
OVERTAKEN_WITHIN_S = 120.0
#: Between two copies of one callback, in simulated seconds.
DUPLICATE_AFTER_S = 5.0
#: Real seconds between two dials: times are written in whole seconds, and two dials must differ in them.
LEAST_REDIAL_S = 1.05


class CallScheduler:
    """Where calls happen. Everything runs as tasks of the event loop that first calls `begin`."""

    def __init__(
        self,
        options: SimulatorOptions,
        world: ProviderState,
        postman: CallbackSender,
        *,
        now: Callable[[], datetime],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._options = options
        self._world = world
        self._postman = postman
        self._now = now
        self._pause = pause
        self._tasks: set[asyncio.Task[None]] = set()
        self._overtaking: set[asyncio.Event] = set()

    @property
    def running(self) -> int:
        """How many calls are still ringing and callbacks still under way; 0 when nothing is left to do."""
        return len(self._tasks)

    async def begin(self, call: Call) -> None:
        """Start a call. Returns at once, or, if its callback is to be early, once that was posted."""
        if Fault.early not in call.story.faults:
            self._spawn(self._play(call))
            return
        # The caller still holds back the answer to send, so this dial is over in no time.
        dial = Dial(planned=call.story.dials[0], started_at=self._now(), ended_at=self._now())
        call.dials.append(dial)
        posted = asyncio.Event()
        self._spawn(self._report(call, dial, posted))
        self._spawn(self._play(call))
        await posted.wait()

    async def close(self) -> None:
        """Stop everything where it stands."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _play(self, call: Call) -> None:
        dials = call.story.dials
        for index in range(len(call.dials), len(dials)):
            if index == 0:
                await self._pause(call.story.queue_s)
            else:
                interval_s = call.request.interval_min * 60 / self._options.speed
                await asyncio.sleep(max(interval_s, LEAST_REDIAL_S))
            dial = Dial(planned=dials[index], started_at=self._now())
            call.dials.append(dial)
            await self._pause(dial.planned.ring_s + dial.planned.talk_s)
            dial.ended_at = self._now()
            if Fault.out_of_order not in call.story.faults or len(dials) == 1:
                self._spawn(self._report(call, dial))
        if Fault.out_of_order in call.story.faults and len(dials) > 1:
            for dial in reversed(call.dials):
                await self._report(call, dial)

    async def _report(self, call: Call, dial: Dial, posted: asyncio.Event | None = None) -> None:
        """Post the callback of an ended dial as its faults want it; `posted` is set after one attempt."""
        faults = call.story.faults
        try:
            if Fault.never in faults:
                return
            if Fault.late in faults:
                await self._pause(self._options.late_by_s)
            elif Fault.out_of_order in faults and len(call.story.dials) == 1:
                await self._be_overtaken()
            await self._post(call, dial, posted)
        finally:
            if posted is not None:
                posted.set()
        if Fault.duplicate in faults:
            await self._pause(DUPLICATE_AFTER_S)
            await self._post(call, dial)

    async def _post(self, call: Call, dial: Dial, posted: asyncio.Event | None = None) -> None:
        def record(delivery: Delivery) -> None:
            call.deliveries.append(delivery)
            if posted is not None:
                posted.set()
            while self._overtaking:
                self._overtaking.pop().set()

        letters = [compose(call, dial, webhook) for webhook in self._world.webhooks_for(call)]
        await asyncio.gather(*(self._postman.deliver(letter, record) for letter in letters))

    async def _be_overtaken(self) -> None:
        overtaken = asyncio.Event()
        self._overtaking.add(overtaken)
        try:
            async with asyncio.timeout(OVERTAKEN_WITHIN_S / self._options.speed):
                await overtaken.wait()
        except TimeoutError:
            self._overtaking.discard(overtaken)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
