"""Shows under /simulator/ what was received, planned and sent. The real provider has no such routes."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tracker.simulator.recorder import RequestLog
from tracker.simulator.scheduler import CallScheduler
from tracker.simulator.state import AcceptedCall, ProviderState


class InspectionRoutes:
    """Routes that only read, and need no token."""

    def __init__(self, state: ProviderState, scheduler: CallScheduler, request_log: RequestLog) -> None:
        self._state = state
        self._scheduler = scheduler
        self._request_log = request_log

    def routes(self) -> list[Route]:
        """Return the routes, relative to /simulator."""
        return [
            Route("/requests", self.requests, methods=["GET"]),
            Route("/calls", self.calls, methods=["GET"]),
            Route("/idle", self.idle, methods=["GET"]),
        ]

    async def requests(self, request: Request) -> Response:
        """List every request to the provider's API, oldest first."""
        documents = [received.document() for received in self._request_log.requests]
        return JSONResponse({"data": documents, "total": self._request_log.total})

    async def calls(self, request: Request) -> Response:
        """List every accepted submission, oldest first, and count the refused ones by fault."""
        documents = [_call_document(call) for call in self._state.calls]
        return JSONResponse(
            {"data": documents, "total": len(documents), "refused": dict(self._state.refused)}
        )

    async def idle(self, request: Request) -> Response:
        """Tell whether nothing is left to do: no call rings, no callback is on its way or to be repeated."""
        return JSONResponse({"idle": self._scheduler.running == 0, "running": self._scheduler.running})


def _call_document(call: AcceptedCall) -> dict[str, Any]:
    scenario, request = call.scenario, call.request
    return {
        "submission_id": call.id,
        "number": scenario.number,
        "n": scenario.n,
        "mid": scenario.mid,
        "bridge": request.bridge,
        "interval_min": request.interval_min,
        "webhook_id": request.webhook_id,
        "accepted_at": call.accepted_at.isoformat(),
        "answer": call.answer,
        "planned": [dial.outcome.value for dial in scenario.dials],
        "outcome": scenario.dials[-1].outcome.value,
        "faults": sorted(fault.value for fault in scenario.faults),
        "dials": [
            {
                "status": dial.planned.outcome.value,
                "started_at": dial.started_at.isoformat(),
                "ended_at": dial.ended_at.isoformat() if dial.ended_at else None,
                "duration_s": dial.planned.talk_s,
            }
            for dial in call.dials
        ],
        "callbacks": [
            {
                "at": attempt.at.isoformat(),
                "webhook_id": attempt.webhook_id,
                "attempt": attempt.attempt,
                "style": attempt.style,
                "method": attempt.method,
                "url": attempt.url,
                "body": attempt.body,
                "status_code": attempt.status_code,
                "error": attempt.error,
            }
            for attempt in call.callback_attempts
        ],
    }
