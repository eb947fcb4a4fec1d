"""Who places calls in a chaos run: each call with a key of its own, repeated until it is answered."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx

from tests.processes import API_TOKEN


class Callers:
    """Place calls, some in a moment from now so that they are a worker's to send. Use as a context manager.

    urls: the servers that should be there now; pause_s: between two calls of one caller.
    """

    def __init__(
        self,
        urls: Callable[[], Sequence[str]],
        seed: int,
        *,
        callers: int = 4,
        pause_s: float = 0.2,
        most: int = 10**6,
    ) -> None:
        self._urls, self._pause_s, self._most = urls, pause_s, most
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._place_all, args=(n, Random(f"{seed}/{n}")), daemon=True)
            for n in range(callers)
        ]
        #: by key: every call that was answered to it
        self.told: dict[str, set[str]] = defaultdict(set)
        self.surprises: list[str] = []

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Begin no further call; what was begun is repeated until it is answered."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    @property
    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _place_all(self, caller: int, chance: Random) -> None:
        with httpx.Client(
            headers={"Authorization": f"Bearer {API_TOKEN}"}, trust_env=False, timeout=15
        ) as http:
            for n in range(self._most):
                if self._stopping.wait(self._pause_s * chance.uniform(0.5, 1.5)):
                    return
                # a number for each call, so that a callback without an id can only mean this one
                fields: dict[str, Any] = {"to": f"+91{9000000000 + 100_000 * caller + n}", "flow_id": "24"}
                if chance.random() < 0.4:
                    soon = datetime.now(UTC) + timedelta(seconds=chance.uniform(0, 2))
                    fields["not_before"] = soon.isoformat()
                for _ in range(chance.choice([1, 1, 2])):
                    self._place(http, f"{caller}-{n}", fields, chance)

    def _place(self, http: httpx.Client, key: str, fields: dict[str, Any], chance: Random) -> None:
        while True:
            urls = self._urls()
            try:
                if not urls:
                    raise httpx.ConnectError("there is no server")
                response = http.post(
                    f"{chance.choice(urls)}/api/v1/calls", json=fields, headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if response.status_code == 503:
                time.sleep(0.1)
                continue
            if response.status_code not in (200, 201, 202):
                self.surprises.append(f"{response.status_code} {response.text[:200]}")
                return
            self.told[key].add(response.json()["id"])
            return
