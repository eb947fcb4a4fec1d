"""The worker: runs the steps that are due, in this process, until it is told to stop.

Several may run beside each other: work is claimed with a lease, joining has its own lock, and a submission is sent by
whoever makes it `submitting`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Coroutine
from datetime import timedelta
from time import monotonic
from typing import Any, Final

import structlog

from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining.joiner import HOLDING_ALONE_S, HOLDING_S
from tracker.lifecycle.joining.throttle import LOOK_S, Courtesy, LettingIn
from tracker.lifecycle.services import Services
from tracker.store.engine.database import Connection
from tracker.store.queue import heartbeats, jobs

log = structlog.get_logger()

#: seconds between looks for what another process has stored or planned. It tells nobody, for on PostgreSQL a NOTIFY in
#: the transaction that stores would have all commits wait for each other
_JOIN_POLL: Final = 0.15
_DUE_POLL: Final = 0.2
_LEASES_POLL: Final = 2.0
_ORPHANS_POLL: Final = 1.0
#: a worker lives as long as it says so; with each beat the leases of what it works on begin anew
_HEARTBEAT: Final = 3.0
_JOB_LEASE: Final = timedelta(seconds=15)
_KEYS_POLL: Final = 600.0
_CHECKPOINT_POLL: Final = 0.5
#: requests to the provider under way at once in this process
_SENDS_AT_ONCE: Final = 50
_ASKS_AT_ONCE: Final = 5


class Worker:
    """Runs one program's due steps; `run` returns after `stop`, with everything that was under way recorded."""

    def __init__(self, program: Services) -> None:
        self._program = program
        self._stopping = asyncio.Event()
        self._inbox = asyncio.Event()
        #: callbacks that this process has stored; counted by the thread that stores
        self._arrived = 0
        self._joined = 0
        self._courtesy = Courtesy()
        #: how many callbacks are on their way to the disk in this process; from the event loop
        self.crowd: Callable[[], int] = lambda: 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._asks: set[asyncio.Task[None]] = set()
        #: what it holds by a lease
        self._held: dict[tuple[str, str, str], jobs.Job] = {}
        self.id = program.sender.owner
        #: it ended although nobody told it to
        self.failed = False

    def wake(self, stored: int = 0) -> None:
        """There is something in the inbox, of which this process has just stored so many. From any thread."""
        self._arrived += stored
        if self._loop is None or self._inbox.is_set():
            return
        # the loop may be closed meanwhile: then nobody needs waking
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._inbox.set)

    def stop(self) -> None:
        """Begin nothing new. From the event loop."""
        self._stopping.set()
        self._inbox.set()

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        log.info("worker.started", worker=self.id)
        database = self._program.database
        async with asyncio.TaskGroup() as steps:
            steps.create_task(self._join())
            steps.create_task(self._every(self._do_what_is_due, 0.0))
            steps.create_task(self._every(_threaded(self._program.sender.end_leases), _LEASES_POLL))
            steps.create_task(self._every(_threaded(self._program.joiner.look_again), _ORPHANS_POLL))
            steps.create_task(self._every(_threaded(self._program.placer.delete_old_keys), _KEYS_POLL))
            steps.create_task(self._every(_threaded(self._program.keeper.tidy), 1.0))
            steps.create_task(self._every(_threaded(database.checkpoint), _CHECKPOINT_POLL))
            steps.create_task(self._every(_threaded(self._beat), _HEARTBEAT))
        if left := self._under_way | self._asks:
            beating = asyncio.create_task(self._beat_on())
            await asyncio.gather(*left, return_exceptions=True)
            beating.cancel()
        await asyncio.to_thread(self._program.joiner.close)
        try:
            await asyncio.to_thread(database.write, lambda c: heartbeats.deregister(c, self.id))
        except StorageUnavailable as error:
            log.warning("worker.no_goodbye", error=str(error))
        log.info("worker.stopped", worker=self.id)

    async def _join(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._join_all()
            except StorageUnavailable as error:
                log.warning("worker.step_failed", step="join", error=str(error))
            except Exception:
                log.exception("worker.step_failed", step="join")
                await self._pause(1.0)
            try:
                await asyncio.wait_for(self._inbox.wait(), _JOIN_POLL)
            except TimeoutError:
                continue
            if not self._stopping.is_set():
                self._inbox.clear()

    async def _join_all(self) -> None:
        """Join until nothing waits, with rests that leave the event loop to those who wait for an answer."""
        joiner, courtesy = self._program.joiner, self._courtesy
        since: float | None = None
        while not self._stopping.is_set():
            began = monotonic()
            # pieces of one batch follow each other, and what came meanwhile has waited for all of them
            since = since or began
            courtesy.arrived(began, self._arrived)
            holding_s = HOLDING_ALONE_S if courtesy.alone else HOLDING_S
            joined = await asyncio.to_thread(joiner.join_pending, holding_s=holding_s)
            if not joined.count:
                return
            ended = monotonic()
            courtesy.arrived(ended, self._arrived)
            self._joined += joined.count
            behind = self._arrived - self._joined
            took_s = ended - (began if joined.more else since)
            rest = courtesy.rest(ended, took_s, more=joined.more, behind=behind, can_join=joiner.can_join)
            if not joined.more:
                since = None
            if rest > 0:
                await self._pause(rest)
            else:
                letting_in = LettingIn(ended, ended - began)
                while not self._stopping.is_set() and letting_in.goes_on(monotonic(), self.crowd()):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)  # an event would cost every commit

    async def _every(self, step: Callable[[], Awaitable[float | None]], seconds: float) -> None:
        """Run a step again and again; it may say how long to pause until the next time."""
        while not self._stopping.is_set():
            pause: float | None = None
            try:
                pause = await step()
            except StorageUnavailable as error:
                log.warning("worker.step_failed", step=getattr(step, "__name__", "?"), error=str(error))
                pause = max(seconds, 1.0)
            except Exception:
                log.exception("worker.step_failed", step=getattr(step, "__name__", "?"))
                pause = max(seconds, 1.0)
            await self._pause(seconds if pause is None else pause)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), max(seconds, 0.005))
        except TimeoutError:
            return

    def _beat(self) -> None:
        """Say that it lives, and that what it works on is still its own."""
        held, now = list(self._held.values()), self._program.clock()

        def work(c: Connection) -> None:
            heartbeats.record_heartbeat(c, self.id, now)
            jobs.renew(c, held, now + _JOB_LEASE)

        self._program.database.write(work)

    async def _beat_on(self) -> None:
        """While it ends, as long as something is under way."""
        while True:
            await asyncio.sleep(_HEARTBEAT)
            with contextlib.suppress(StorageUnavailable):
                await asyncio.to_thread(self._beat)

    async def _do_what_is_due(self) -> float:
        """Begin what is due and there is room for; gives the pause until more is due."""
        room = {
            jobs.RESEND: 20,
            jobs.MATCH_EARLY: 20,
            jobs.SEND: min(20, _SENDS_AT_ONCE - len(self._under_way)),
            jobs.POLL: _ASKS_AT_ONCE - len(self._asks),
        }
        possible = [kind for kind, most in room.items() if most > 0]
        wait_s = await self._until_due(possible)
        for kind in (kind for kind in possible if wait_s.get(kind, _DUE_POLL) <= 0):
            for job in await self._claim(kind, room[kind]):
                match kind:
                    case jobs.RESEND:
                        await self._do(job, self._program.sender.resend)
                    case jobs.MATCH_EARLY:
                        await self._do(job, self._program.joiner.look_for_early)
                    case jobs.SEND:
                        self._begin(self._under_way, self._program.sender.submit(job.subject), job)
                    case _:
                        self._begin(self._asks, self._ask_one(job), job)
        pause_s = min([_DUE_POLL, *wait_s.values()])
        return 0.0 if pause_s <= 0 else max(0.02, pause_s)

    async def _do(self, job: jobs.Job, step: Callable[[str], None]) -> None:
        async def work() -> None:
            await asyncio.to_thread(step, job.subject)
            await self._finish(job)

        await self._guarded(work(), job)

    async def _guarded(self, work: Coroutine[Any, Any, None], job: jobs.Job) -> None:
        """Do it; where it fails, it is somebody's again when its lease ends, and nothing else has to wait."""
        try:
            await work
        except StorageUnavailable as error:
            log.warning("job.failed", kind=job.kind, subject=job.subject, error=str(error))
        except Exception:
            log.exception("job.failed", kind=job.kind, subject=job.subject)
        finally:
            self._held.pop(job.key, None)

    async def _until_due(self, kinds: Collection[str]) -> dict[str, float]:
        """Seconds until work of each kind is due that nobody works on; looked up without a write."""
        now = self._program.clock()
        accounts = self._program.accounts.keys()
        due = await asyncio.to_thread(
            self._program.database.read, lambda c: jobs.next_due(c, kinds, accounts, now)
        )
        return {kind: (at - now).total_seconds() for kind, at in due.items()}

    async def _ask_one(self, job: jobs.Job) -> None:
        again = await self._program.poller.poll_until_known(job.subject, job.tries)
        if again is None:
            await self._finish(job)
        else:
            await asyncio.to_thread(self._program.database.write, lambda c: jobs.postpone(c, job, again))

    def _begin(self, group: set[asyncio.Task[None]], work: Coroutine[Any, Any, None], job: jobs.Job) -> None:
        task = asyncio.create_task(self._guarded(work, job))
        group.add(task)
        task.add_done_callback(group.discard)

    async def _claim(self, kind: str, limit: int) -> list[jobs.Job]:
        if limit <= 0:
            return []
        now = self._program.clock()
        claimed = await asyncio.to_thread(
            self._program.database.write,
            lambda c: jobs.claim(
                c, kind, self._program.accounts, owner=self.id, now=now, lease=_JOB_LEASE, limit=limit
            ),
        )
        self._held |= {job.key: job for job in claimed}
        return claimed

    async def _finish(self, job: jobs.Job) -> None:
        await asyncio.to_thread(self._program.database.write, lambda c: jobs.finish(c, job))


def _threaded(step: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await asyncio.to_thread(step)

    run.__name__ = getattr(step, "__name__", "step")
    return run
