"""Runs a simulated provider in this process, with a receiver that takes its callbacks in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
from starlette.testclient import TestClient

from tracker.simulator.app import create_app
from tracker.simulator.options import SimulatorOptions, Webhook
from tracker.simulator.thundersms.vocabulary import CallbackStyle, Fault, Outcome

CALLEE = "918919525224"
BRIDGE = "918068280000"
TOKEN = {"Authorization": "Bearer simulated-token", "Accept": "application/json"}


@dataclass
class Provider:
    """The API as a client sees it, and the callbacks that came to the webhooks."""

    http: TestClient
    callbacks: list[httpx.Request] = field(default_factory=list)

    def send(self, to: str = CALLEE, **fields: Any) -> httpx2.Response:
        """Place a call that reports to the webhook `hook`."""
        body = {"bridge": BRIDGE, "to": to, "flow_id": "23", "webhook_id": "hook", **fields}
        return self.http.post("/api/v2/outgoing/send", json=body, headers=TOKEN)

    def get(self, path: str) -> httpx2.Response:
        """Send a GET request with the token, to a path below the API's prefix."""
        return self.http.get(f"/api/v2/{path}", headers=TOKEN)

    def calls(self) -> list[dict[str, Any]]:
        """Return the accepted calls as the inspection routes show them."""
        calls: list[dict[str, Any]] = self.http.get("/simulator/calls").json()["data"]
        return calls

    def wait_until_idle(self) -> list[httpx.Request]:
        """Wait until nothing is left to do, and return all callbacks so far."""
        for _ in range(3000):
            if self.http.get("/simulator/idle").json()["idle"]:
                return self.callbacks
            time.sleep(0.01)
        raise AssertionError("the simulator did not become idle")


def accept(request: httpx.Request) -> httpx.Response:
    """Answer every callback with 200."""
    return httpx.Response(200, json={"ok": True})


@contextmanager
def simulated(
    *,
    receiver: Callable[[httpx.Request], httpx.Response] = accept,
    style: CallbackStyle = CallbackStyle.default,
    webhook: Webhook | None = None,
    callee_faults: tuple[Fault, ...] = (),
    callee_outcomes: tuple[Outcome, ...] = (Outcome.ANSWER,),
    **options: Any,
) -> Iterator[Provider]:
    """Run a fast provider with one webhook, `hook`, and a scripted scenario for CALLEE.

    callee_outcomes and callee_faults: of the calls to CALLEE. options: further fields of SimulatorOptions.
    """
    provider: Provider

    def keep_and_answer(request: httpx.Request) -> httpx.Response:
        provider.callbacks.append(request)
        return receiver(request)

    webhook = webhook or Webhook(
        id="hook", uri="http://127.0.0.1:9/callbacks/a", secret="s3cret", style=style
    )
    chosen = SimulatorOptions(
        **{
            "speed": 1000.0,
            "webhooks": (webhook,),
            "outcomes": {CALLEE: callee_outcomes},
            "scripted_faults": {CALLEE: frozenset(callee_faults)},
            **options,
        }
    )
    app = create_app(chosen, transport=httpx.MockTransport(keep_and_answer))
    with TestClient(app, follow_redirects=False) as http:
        provider = Provider(http)
        yield provider
