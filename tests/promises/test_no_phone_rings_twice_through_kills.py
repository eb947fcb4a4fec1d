"""Promise: no phone rings twice by accident, told with real processes that are killed again and again.

Clients place calls with an Idempotency-Key and repeat a request until they have an answer, through servers that die in
the middle of it; the provider is slow, fails, drops connections, and says "too many". At the end every key has one
call, every submission reached the provider at most once, and a call got a further submission only where the provider
had refused the one before.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from tests.lifecycle.house import House
from tests.processes import API_TOKEN, Processes, Server, eventually
from tests.recording_provider import RecordingProvider, Told, accepted, error

#: so that each request to the provider says which submission it is
ACCOUNT: dict[str, Any] = {"extra": {"custom": "{submission}"}, "timeout_s": 1.0}


def moods(chance: random.Random, count: int) -> list[Told]:
    """How the provider answers, one request after the other; the last ones are beyond our patience."""

    def mood() -> Told:
        hang_s = chance.choice([0.0, 0.0, 0.1, 0.3])
        kind = chance.choices(["accepted", "500", "429", "drop", "silence"], [6, 1, 2, 1, 1])[0]
        match kind:
            case "accepted":
                told = accepted()
                return Told(body=told.body, headers=told.headers, hang_s=hang_s)
            case "500":
                return error(500, "Server Error")
            case "429":
                return error(429, "Too Many Attempts.", Retry_After="1")
            case "drop":
                return Told(drop=True, hang_s=hang_s)
            case _:
                return Told(hang_s=1.5, drop=True)

    return [mood() for _ in range(count)]


class Client:
    """Places calls, one after the other, and repeats each until it is answered; the server may change meanwhile."""

    def __init__(self, url: Callable[[], str], calls: dict[str, dict[str, Any]]) -> None:
        self._url, self._calls = url, calls
        #: by key: every call that was answered to it
        self.told: dict[str, set[str]] = defaultdict(set)
        self._thread = threading.Thread(target=self._place_all, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _place_all(self) -> None:
        with httpx.Client(
            headers={"Authorization": f"Bearer {API_TOKEN}"}, trust_env=False, timeout=20
        ) as http:
            for key, fields in self._calls.items():
                self._place(http, key, fields)
                self._place(http, key, fields)  # and once more, for it did not look well at the answer

    def _place(self, http: httpx.Client, key: str, fields: dict[str, Any]) -> None:
        while True:
            try:
                url = f"{self._url()}/api/v1/calls"
                response = http.post(url, json=fields, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if response.status_code == 503:
                time.sleep(0.05)
                continue
            assert response.status_code in (200, 201, 202), response.text
            self.told[key].add(response.json()["id"])
            return


def wishes(name: str, count: int) -> dict[str, dict[str, Any]]:
    """By key; each to a number of its own, every other one for a moment later, so that it is a worker's to send."""
    soon = datetime.now(UTC) + timedelta(seconds=2)
    return {
        f"{name}-{n}": {
            "to": f"+91{9000000000 + 1000 * ord(name) + n}",
            "flow_id": "24",
            **({"not_before": soon.isoformat()} if n % 2 else {}),
        }
        for n in range(count)
    }


def finish(database_url: str, provider: RecordingProvider) -> House:
    """Two minutes later, when every lease of the dead has ended, one more worker does what is left."""
    provider.sends.clear()
    house = House(database_url, provider.base_url, **ACCOUNT)
    house.clock.forward(minutes=2)

    async def work() -> None:
        worker = house.worker()
        running = asyncio.create_task(worker.run())
        while await asyncio.to_thread(_left, house):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        worker.stop()
        await running

    asyncio.run(asyncio.wait_for(work(), 60))
    return house


def _left(house: House) -> int:
    def count(c: Any) -> int:
        open_ = c.scalar(
            sa.text("select count(*) from submissions where status in ('pending', 'submitting')")
        )
        due = c.scalar(sa.text("select count(*) from jobs where kind in ('send', 'resend')"))
        return int(open_) + int(due)

    return house.database.read(count)


def no_phone_rang_twice(house: House, provider: RecordingProvider, clients: list[Client]) -> None:
    told = {key: calls for client in clients for key, calls in client.told.items()}
    assert all(len(calls) == 1 for calls in told.values())
    rows = house.database.read(
        lambda c: c.execute(
            sa.text(
                'select id, call_id, "number", status, reason, outcome from submissions order by "number"'
            )
        ).all()
    )
    by_call: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_call[row.call_id].append(row)
    # one call for each key, and none that nobody asked for
    assert by_call.keys() == {call for calls in told.values() for call in calls}
    assert len(by_call) == len(told)

    # of some only the beginning came, for their sender was killed while it wrote: those ring nowhere
    whole = [seen for seen in provider.sent if len(seen.body) == int(seen.headers["Content-Length"])]
    requests = Counter(seen.json()["custom"] for seen in whole)
    assert requests.keys() <= {row.id for row in rows}
    assert set(requests.values()) == {1}
    for submissions in by_call.values():
        *before, last = submissions
        # only "too many requests" is followed by another submission; nothing is sent twice, nothing is forgotten
        assert {(s.status, s.reason) for s in before} <= {("rejected", "rate-limited")}
        assert last.status in ("queued", "unconfirmed")
        # where it was accepted, or its sender said that it was sent, it was sent
        assert last.status != "queued" or last.id in requests
        house.timeline(submissions[0].call_id)


def test_a_server_that_is_killed_while_it_sends(
    database_url: str, tmp_path: Path, provider: RecordingProvider
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    provider.sends.extend(moods(chance, 60))
    with Processes(tmp_path, database_url, provider.base_url, **ACCOUNT) as processes:
        server = processes.serve()
        clients = [Client(lambda: server.url, wishes(name, 8)) for name in "abcd"]
        for _ in range(4):
            seen = len(provider.sent)
            # while requests are under way; unless there are no more
            eventually(lambda: len(provider.sent) > seen or all(c.done for c in clients), "calls are sent")  # noqa: B023
            time.sleep(chance.uniform(0, 0.5))
            server.kill()
            server = processes.serve()
        eventually(lambda: all(client.done for client in clients), "every key should be answered")
        server.kill()
    with closing(finish(database_url, provider)) as house:
        no_phone_rang_twice(house, provider, clients)


def test_two_workers_and_a_server_that_are_killed_in_turn(
    postgres_database: str, tmp_path: Path, provider: RecordingProvider
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    provider.sends.extend(moods(chance, 60))
    with Processes(tmp_path, postgres_database, provider.base_url, **ACCOUNT) as processes:
        serve: Callable[[], Server] = lambda: processes.serve("--no-worker")  # noqa: E731
        server = serve()
        workers = [processes.worker(), processes.worker()]
        clients = [Client(lambda: server.url, wishes(name, 8)) for name in "abcd"]
        for turn in range(6):
            seen = len(provider.sent)
            eventually(lambda: len(provider.sent) > seen or all(c.done for c in clients), "calls are sent")  # noqa: B023
            time.sleep(chance.uniform(0, 0.4))
            if turn % 3 == 0:
                server.kill()
                server = serve()
            else:
                workers[turn % 2].kill()
                workers[turn % 2] = processes.worker()
        eventually(lambda: all(client.done for client in clients), "every key should be answered")
    with closing(finish(postgres_database, provider)) as house:
        no_phone_rang_twice(house, provider, clients)
