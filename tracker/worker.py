"""Run due work and periodic steps in this process until told to stop.

Several workers may run beside each other: jobs are claimed with a lease, joining has a position and a lock, and a
submission is sent by the worker that makes it `submitting`. The joiner runs beside the worker, as a thread or as a
process of its own, and the worker starts and ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining.loop import JoinerRunner
from tracker.lifecycle.services import Services
from tracker.store.engine.database import Connection
from tracker.store.queue import heartbeats, jobs
from tracker.store.queue.jobs import Job

log = structlog.get_logger()

#: seconds between looks for due jobs. We poll instead of using NOTIFY: a NOTIFY inside the planning transaction would
#: serialise all commits of PostgreSQL
_DUE_POLL_S: Final = 0.2
_SHORTEST_POLL_S: Final = 0.02
_LEASES_POLL_S: Final = 2.0
_ORPHANS_POLL_S: Final = 1.0
_HOUSEKEEPING_POLL_S: Final = 1.0
_OLD_KEYS_POLL_S: Final = 600.0
_CHECKPOINT_POLL_S: Final = 0.5
#: pause after a step that failed
_ERROR_S: Final = 1.0
#: a worker is alive as long as it says so; each heartbeat renews the leases of its jobs
_HEARTBEAT_S: Final = 3.0
_JOB_LEASE: Final = timedelta(seconds=15)


@dataclass(kw_only=True)
class _JobKind:
    """Jobs of one kind, and those of them that run now."""

    name: str
    #: how many may run at once in this process
    limit: int
    #: do one job; the time at which it is due again, None if it is done
    run: Callable[[Job], Awaitable[datetime | None]]
    #: whether `run` leaves removing the job to the worker
    is_finished_here: bool = True
    running: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def room(self) -> int:
        return self.limit - len(self.running)


class Worker:
    """Runs the due work of one set of services. `run` returns after `stop`, with all work under way recorded."""

    def __init__(
        self, services: Services, joiner: JoinerRunner, *, heartbeat_s: float = _HEARTBEAT_S
    ) -> None:
        self._services, self._joiner, self._heartbeat_s = services, joiner, heartbeat_s
        self._stopping = asyncio.Event()
        #: the jobs that this worker holds by a lease
        self._held: dict[tuple[str, str, str], Job] = {}
        self.id = services.sender.owner
        #: whether it ended without being told to
        self.failed = False
        self._kinds = [
            _JobKind(name=jobs.RESEND, limit=20, run=_in_thread(services.sender.resend)),
            _JobKind(name=jobs.MATCH_EARLY, limit=20, run=_in_thread(services.joiner.match_early)),
            # claiming a submission removes its job, or plans it for later
            _JobKind(name=jobs.SEND, limit=50, run=self._send, is_finished_here=False),
            _JobKind(name=jobs.POLL, limit=5, run=self._poll),
        ]

    def stop(self) -> None:
        """Begin nothing new. Call it on the event loop."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`, then finish what is under way."""
        log.info("worker.started", worker=self.id)
        services, database = self._services, self._services.database
        async with asyncio.TaskGroup() as steps:
            steps.create_task(self._joiner.run(self._stopping))
            steps.create_task(self._repeat(self._start_due_jobs, 0.0))
            for step, pause_s in (
                (services.sender.end_leases, _LEASES_POLL_S),
                (services.joiner.retry_orphans, _ORPHANS_POLL_S),
                (services.placer.delete_old_keys, _OLD_KEYS_POLL_S),
                (services.keeper.tidy, _HOUSEKEEPING_POLL_S),
                (database.checkpoint, _CHECKPOINT_POLL_S),
                (database.inbox.checkpoint, _CHECKPOINT_POLL_S),
                (self._send_heartbeat, self._heartbeat_s),
            ):
                steps.create_task(self._repeat(_threaded(step), pause_s))
        if running := [task for kind in self._kinds for task in kind.running]:
            heartbeats_go_on = asyncio.create_task(self._send_heartbeats())
            await asyncio.gather(*running, return_exceptions=True)
            heartbeats_go_on.cancel()
        try:
            await asyncio.to_thread(database.write, lambda c: heartbeats.deregister(c, self.id))
        except StorageUnavailable as error:
            log.warning("worker.deregister_failed", error=str(error))
        log.info("worker.stopped", worker=self.id)

    async def _repeat(self, step: Callable[[], Awaitable[float | None]], pause_s: float) -> None:
        """Run a step again and again. It may return the pause until the next time, in seconds."""
        while not self._stopping.is_set():
            next_pause_s: float | None = None
            try:
                next_pause_s = await step()
            except StorageUnavailable as error:
                log.warning("worker.step_failed", step=step.__name__, error=str(error))
                next_pause_s = max(pause_s, _ERROR_S)
            except Exception:
                log.exception("worker.step_failed", step=step.__name__)
                next_pause_s = max(pause_s, _ERROR_S)
            await self._pause(pause_s if next_pause_s is None else next_pause_s)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), max(seconds, _SHORTEST_POLL_S / 4))

    def _send_heartbeat(self) -> None:
        """Record that this worker lives, and that the jobs it holds are still its own."""
        held, now = list(self._held.values()), self._services.clock()

        def work(c: Connection) -> None:
            heartbeats.record_heartbeat(c, self.id, now)
            jobs.renew(c, held, now + _JOB_LEASE)

        self._services.database.write(work)

    async def _send_heartbeats(self) -> None:
        """Go on with heartbeats while the last jobs end."""
        while True:
            await asyncio.sleep(self._heartbeat_s)
            with contextlib.suppress(StorageUnavailable):
                await asyncio.to_thread(self._send_heartbeat)

    async def _start_due_jobs(self) -> float:
        """Start the jobs that are due and that there is room for; return the pause until more are due, in seconds."""
        open_kinds = [kind for kind in self._kinds if kind.room > 0]
        due_in_s = await self._find_due([kind.name for kind in open_kinds])
        for kind in open_kinds:
            if due_in_s.get(kind.name, _DUE_POLL_S) <= 0:
                for job in await self._claim(kind.name, min(kind.room, 20)):
                    task = asyncio.create_task(self._run_job(kind, job))
                    kind.running.add(task)
                    task.add_done_callback(kind.running.discard)
        pause_s = min([_DUE_POLL_S, *due_in_s.values()])
        return 0.0 if pause_s <= 0 else max(_SHORTEST_POLL_S, pause_s)

    async def _find_due(self, kinds: Collection[str]) -> dict[str, float]:
        """Return in how many seconds a job of each kind is due that no worker holds. Reads only."""
        services, now = self._services, self._services.clock()
        accounts = services.accounts.keys()
        due = await asyncio.to_thread(
            services.database.read, lambda c: jobs.next_due(c, kinds, accounts, now)
        )
        return {kind: (at - now).total_seconds() for kind, at in due.items()}

    async def _claim(self, kind: str, limit: int) -> list[Job]:
        services, now = self._services, self._services.clock()
        claimed = await asyncio.to_thread(
            services.database.write,
            lambda c: jobs.claim(
                c, kind, services.accounts, owner=self.id, now=now, lease=_JOB_LEASE, limit=limit
            ),
        )
        self._held |= {job.key: job for job in claimed}
        return claimed

    async def _run_job(self, kind: _JobKind, job: Job) -> None:
        """Do a job. If it fails, any worker may take it once its lease ends; nothing else waits for it."""
        write = self._services.database.write
        try:
            due_again_at = await kind.run(job)
            if due_again_at is not None:
                await asyncio.to_thread(write, lambda c: jobs.postpone(c, job, due_again_at))
            elif kind.is_finished_here:
                await asyncio.to_thread(write, lambda c: jobs.finish(c, job))
        except StorageUnavailable as error:
            log.warning("job.failed", kind=job.kind, subject=job.subject, error=str(error))
        except Exception:
            log.exception("job.failed", kind=job.kind, subject=job.subject)
        finally:
            self._held.pop(job.key, None)

    async def _send(self, job: Job) -> None:
        await self._services.sender.submit(job.subject)

    async def _poll(self, job: Job) -> datetime | None:
        return await self._services.poller.poll_until_known(job.subject, job.tries)


def _threaded(step: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await asyncio.to_thread(step)

    run.__name__ = getattr(step, "__name__", "step")
    return run


def _in_thread(work: Callable[[str], None]) -> Callable[[Job], Awaitable[None]]:
    async def run(job: Job) -> None:
        await asyncio.to_thread(work, job.subject)

    return run
