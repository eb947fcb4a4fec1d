"""For tests and the demo, under /simulator/: what was received, planned and sent. The provider has no such thing."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tracker.simulator.recorder import Record
from tracker.simulator.scheduler import CallScheduler
from tracker.simulator.state import Call, ProviderState


class Control:
    """Read only; needs no token."""

    def __init__(self, world: ProviderState, stage: CallScheduler, record: Record) -> None:
        self._world = world
        self._stage = stage
        self._record = record

    def routes(self) -> list[Route]:
        """Relative to /simulator."""
        return [
            Route("/requests", self.requests, methods=["GET"]),
            Route("/calls", self.calls, methods=["GET"]),
            Route("/idle", self.idle, methods=["GET"]),
        ]

    async def requests(self, request: Request) -> Response:
        """Every request to the provider's API, oldest first."""
        rows = [received.row() for received in self._record.requests]
        return JSONResponse({"data": rows, "total": self._record.total})

    async def calls(self, request: Request) -> Response:
        """Every accepted submission, oldest first; how many were refused, by fault."""
        rows = [_row(call) for call in self._world.calls]
        return JSONResponse({"data": rows, "total": len(rows), "refused": dict(self._world.refused)})

    async def idle(self, request: Request) -> Response:
        """Is nothing left to do: no call ringing, no callback waiting or to be repeated."""
        return JSONResponse({"idle": self._stage.running == 0, "running": self._stage.running})


def _row(call: Call) -> dict[str, Any]:
    story, request = call.story, call.request
    return {
        "submission_id": call.id,
        "number": story.number,
        "n": story.n,
        "mid": story.mid,
        "bridge": request.bridge,
        "interval_min": request.interval_min,
        "webhook_id": request.webhook_id,
        "accepted_at": call.accepted_at.isoformat(),
        "answer": call.answer,
        "planned": [dial.word.value for dial in story.dials],
        "outcome": story.dials[-1].word.value,
        "faults": sorted(fault.value for fault in story.faults),
        "dials": [
            {
                "status": dial.planned.word.value,
                "started_at": dial.started_at.isoformat(),
                "ended_at": dial.ended_at.isoformat() if dial.ended_at else None,
                "duration_s": dial.planned.talk_s,
            }
            for dial in call.dials
        ],
        "callbacks": [
            {
                "at": each.at.isoformat(),
                "webhook_id": each.webhook_id,
                "attempt": each.attempt,
                "style": each.style,
                "method": each.method,
                "url": each.url,
                "body": each.body,
                "status_code": each.status_code,
                "error": each.error,
            }
            for each in call.deliveries
        ],
    }
