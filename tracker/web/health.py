"""Whether this process lives, can take a callback, and how the work stands."""

from __future__ import annotations

import asyncio

import orjson
import structlog
from starlette.responses import Response

from tracker.store.read import system_status
from tracker.web.auth import needs_token
from tracker.web.state import AppRequest

log = structlog.get_logger()


async def healthz(request: AppRequest) -> Response:
    """The process lives."""
    return _json({"ok": True})


async def readyz(request: AppRequest) -> Response:
    """This process can store a callback: the database takes a write, has our schema, and has room."""
    problems = await request.state["trial"].problems()
    if not request.state["inbox"].alive:
        problems.append("the thread that stores callbacks has ended; see the log, and start the server again")
    worker = request.state["worker"]
    if worker is not None and worker.failed:
        problems.append("the worker of this process has ended; see the log, and start it again")
    if problems:
        log.warning("server.not_ready", problems=problems)
    return _json({"ok": not problems, "problems": problems}, 503 if problems else 200)


@needs_token
async def statusz(request: AppRequest) -> Response:
    """Workers, lag, silence, queues, counts."""
    program = request.state["program"]
    document = await asyncio.to_thread(
        program.database.read,
        lambda c: system_status.system_status(c, program.accounts.keys(), program.clock()),
    )
    worker = request.state["worker"]
    here = None if worker is None else ("failed" if worker.failed else "running")
    return _json({**document, "inbox_waiting": request.state["inbox"].depth, "worker_here": here})


def _json(document: dict[str, object], status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(document), status, media_type="application/json", headers=headers)
