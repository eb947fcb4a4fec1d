"""Whether this process lives, can take a callback, and how the work stands."""

from __future__ import annotations

import asyncio

import orjson
import structlog
from starlette.responses import Response

from tracker.errors import TrackerError
from tracker.store import schema, standing
from tracker.web.auth import needs_token
from tracker.web.state import AppRequest

log = structlog.get_logger()


async def healthz(request: AppRequest) -> Response:
    """The process lives."""
    return _json({"ok": True})


async def readyz(request: AppRequest) -> Response:
    """This process can store a callback: the database takes a write, has our schema, and has room."""
    problems: list[str] = []
    try:
        await asyncio.wait_for(asyncio.to_thread(_try, request), 2.5)
    except TimeoutError:
        problems.append("the database did not take a write within 2.5 seconds")
    except TrackerError as error:
        problems.append(str(error))
    if not request.state["inbox"].alive:
        problems.append("the thread that stores callbacks has ended; see the log, and start the server again")
    worker = request.state["worker"]
    if worker is not None and worker.failed:
        problems.append("the worker of this process has ended; see the log, and start it again")
    if problems:
        log.warning("server.not_ready", problems=problems)
    return _json({"ok": not problems, "problems": problems}, 503 if problems else 200)


def _try(request: AppRequest) -> None:
    database = request.state["program"].database
    schema.prepare(database, create=False)
    standing.try_to_write(database, request.state["program"].clock())


@needs_token
async def statusz(request: AppRequest) -> Response:
    """Workers, lag, silence, queues, counts."""
    program = request.state["program"]
    document = await asyncio.to_thread(
        program.database.read, lambda c: standing.standing(c, program.accounts.keys(), program.clock())
    )
    worker = request.state["worker"]
    here = None if worker is None else ("failed" if worker.failed else "running")
    return _json({**document, "inbox_waiting": request.state["inbox"].depth, "worker_here": here})


def _json(document: dict[str, object], status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(document), status, media_type="application/json", headers=headers)
