"""The health endpoints: `/healthz` (alive), `/readyz` (can store a callback), `/statusz` (how the work stands)."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from starlette.responses import Response

from tracker.clock import Clock
from tracker.errors import TrackerError
from tracker.store.engine.database import Database
from tracker.store.read import system_status
from tracker.store.schema import upgrade
from tracker.web.api.documents import status_document, to_json
from tracker.web.auth import require_token
from tracker.web.state import AppRequest

log = structlog.get_logger()

_PROBE_TIMEOUT_S: Final = 2.5


async def healthz(request: AppRequest) -> Response:
    """Answer 200: the process is alive."""
    return _json({"ok": True})


async def readyz(request: AppRequest) -> Response:
    """Answer 200 if this process can store a callback and its worker runs, otherwise 503 with the problems."""
    problems = await request.state["find_storage_problems"]()
    if not request.state["inbox"].is_alive:
        problems.append("the thread that stores callbacks has ended; see the log, and restart the server")
    worker = request.state["worker"]
    if worker is not None and worker.failed:
        problems.append("the worker of this process has ended; see the log, and restart the server")
    if problems:
        log.warning("server.readiness_failed", problems=problems)
    return _json({"ok": not problems, "problems": problems}, 503 if problems else 200)


@require_token
async def statusz(request: AppRequest) -> Response:
    """Answer with workers, lag, silence, queues and counts."""
    program = request.state["program"]
    status = await asyncio.to_thread(
        program.database.read,
        lambda c: system_status.load_system_status(c, program.accounts.keys(), program.clock()),
    )
    worker = request.state["worker"]
    worker_here = None if worker is None else ("failed" if worker.failed else "running")
    document = status_document(status)
    return _json({**document, "inbox_waiting": request.state["inbox"].queued, "worker_here": worker_here})


class ReadinessProbe:
    """Finds out whether a callback can be stored, by storing one and rolling it back."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._attempt: asyncio.Task[str | None] | None = None

    async def find_problems(self) -> list[str]:
        """Return what is wrong, a sentence each.

        Concurrent callers share one attempt, so that they do not queue up at a locked database.
        """
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(asyncio.to_thread(self._try_to_store))
        try:
            problem = await asyncio.wait_for(asyncio.shield(self._attempt), _PROBE_TIMEOUT_S)
        except TimeoutError:
            problem = f"the database did not take a write within {_PROBE_TIMEOUT_S} seconds"
        return [problem] if problem else []

    def _try_to_store(self) -> str | None:
        """Return the problem, or None."""
        try:
            upgrade.prepare(self._database, create=False)
            system_status.write_probe(self._database, self._clock())
        except TrackerError as error:
            return str(error)
        except Exception as error:
            log.exception("server.readiness_probe_failed")
            return f"a callback cannot be stored: {type(error).__name__}; see the log"
        return None


def _json(document: dict[str, object], status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(to_json(document), status, media_type="application/json", headers=headers)
