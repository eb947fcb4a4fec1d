"""The reckoning after a chaos run: everything that was promised, held against the database and the provider."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from contextlib import closing
from typing import Any

import sqlalchemy as sa

from tests import oracle
from tests.chaos.callers import Callers
from tests.chaos.provider import Exchange, Postman
from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider

_FINISH_S = 90.0


def reckon(
    database_url: str,
    provider: RecordingProvider,
    exchange: Exchange,
    postman: Postman,
    callers: Callers,
    **account: Any,
) -> list[str]:
    """Two minutes later one more worker does what the dead have left; then what is broken, a sentence each.

    Nobody else may use the database any more.
    """
    exchange.calm = True
    with closing(House(database_url, provider.base_url, **account)) as house:
        house.clock.forward(minutes=2)
        broken = asyncio.run(_finish(house))
        broken += _callbacks(house, postman)
        broken += _calls(house, provider, exchange, postman, callers)
        broken += oracle.find_differences(house.database, house.program.accounts)
    broken += [f"a callback was answered {status}" for status in postman.surprises]
    broken += [f"a call was answered {what}" for what in callers.surprises]
    return broken


async def _finish(house: House) -> list[str]:
    worker = house.worker()
    running = asyncio.create_task(worker.run())
    left = _left(house)
    until = time.monotonic() + _FINISH_S
    while left and time.monotonic() < until:
        await asyncio.sleep(0.1)
        left = await asyncio.to_thread(_left, house)
    # and once more what waits for a timer
    while await asyncio.to_thread(house.program.joiner.retry_orphans):
        pass
    worker.stop()
    await running
    return [f"stuck: {left}"] if left else []


def _left(house: House) -> dict[str, int]:
    """What is still to be done, by name; empty where nothing is."""
    questions = {
        "submissions on their way": "select count(*) from submissions where status in ('pending', 'submitting')",
        "sends that are due": "select count(*) from jobs where kind in ('send', 'resend')",
        "callbacks that nobody has read": "select count(*) from inbox where position >"
        " coalesce((select position from positions where consumer = 'joiner'), 0)",
    }

    def count(c: Any) -> dict[str, int]:
        return {name: n for name, query in questions.items() if (n := c.scalar(sa.text(query)))}

    return house.database.read(count)


def _callbacks(house: House, postman: Postman) -> list[str]:
    """Every callback that was answered is there, every receipt once, and where it belongs."""
    query = sa.text(
        "select i.id, i.body, b.state, b.reason, b.submission_id from inbox i left join callbacks b on b.id = i.id"
    )
    rows: dict[str, Any] = {}
    times: Counter[str] = Counter()
    broken = []
    for row in house.database.read(lambda c: c.execute(query).all()):
        marker = json.loads(bytes(row.body))["marker"]
        times[marker] += 1
        rows[marker] = row
        if row.state != "joined" and not row.reason:
            broken.append(f"{row.id} is {row.state} without a reason")
    broken += [f"the callback {m} is stored {n} times" for m, n in times.items() if n > 1]
    for marker, letter in postman.answered.items():
        if marker not in rows:
            broken.append(f"the callback {marker} was answered and is not there")
            continue
        row = rows[marker]
        if letter.submission is not None and row.submission_id != letter.submission:
            is_now = f"{row.state} ({row.reason}), {row.submission_id}"
            broken.append(f"{row.id} ({letter.fields}) is {is_now}, not {letter.submission}")
    return broken


def _calls(
    house: House, provider: RecordingProvider, exchange: Exchange, postman: Postman, callers: Callers
) -> list[str]:
    """One call for each key; at most one request for each submission; each outcome that was told is the call's."""
    broken = [
        f"the key {key} has {len(calls)} calls" for key, calls in callers.told.items() if len(calls) > 1
    ]
    query = sa.text(
        'select s.id, s.call_id, s."number", s.status, s.reason, c.outcome from submissions s'
        ' join calls c on c.id = s.call_id order by s."number"'
    )
    by_call: dict[str, list[Any]] = defaultdict(list)
    for row in house.database.read(lambda c: c.execute(query).all()):
        by_call[row.call_id].append(row)
    asked_for = {call for calls in callers.told.values() for call in calls}
    broken += [f"{call} was answered and is not there" for call in asked_for - by_call.keys()]
    broken += [f"{call} is one that nobody asked for" for call in by_call.keys() - asked_for]

    # of some only the beginning came, for their sender was killed while it wrote: those ring nowhere
    whole = [seen for seen in provider.sent if len(seen.body) == int(seen.headers["Content-Length"])]
    requests = Counter(seen.json()["custom"] for seen in whole)
    known = {row.id for rows in by_call.values() for row in rows}
    broken += [f"{id} reached the provider {n} times" for id, n in requests.items() if n > 1]
    broken += [f"{id} reached the provider and is not there" for id in requests.keys() - known]
    told = {letter.submission: letter.outcome for letter in postman.answered.values() if letter.outcome}
    for call, submissions in by_call.items():
        *before, last = submissions
        if again := [s.id for s in before if (s.status, s.reason) != ("rejected", "rate-limited")]:
            broken.append(f"{call} was dialled again although {again} was not refused")
        if last.status == "queued" and last.id not in requests:
            broken.append(f"{last.id} is queued, and the provider has not seen it")
        if last.id in told and last.outcome != told[last.id]:
            broken.append(f"{call} is {last.status}, outcome {last.outcome}, and was told {told[last.id]}")
    return broken
