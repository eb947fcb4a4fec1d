"""Reading from a large database while callbacks come in: `scripts/bench reading`.

Every question is put to a real server process by HTTP, one after the other. What counts is the time inside the server,
from its own log: `took_ms` of `request.answered`, from the arrival of the request until its answer was handed over.
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from bench import phases
from bench.fill import story_of
from bench.load import percentile
from bench.phases import Bodies
from bench.plan import Plan
from bench.servers import API_TOKEN, Running
from bench.stories import QUEUED, REJECTED
from bench.taught import OUTCOMES

#: calls are spread over so long; a time range is a day of it
SPAN: Final = timedelta(days=60)
#: the latest calls, whose callbacks come in meanwhile
OPEN: Final = 10_000
#: seconds; a net under a log that does not come
_LOG_S: Final = 30.0
_ROUTE: Final = "/api/v1/calls"
#: milliseconds inside the server, at p95
CALL_MS: Final = 5.0
PAGE_MS: Final = 30.0

#: each question comes round so often, so that one bad second of the machine is in one of its figures only
ROUNDS: Final = 3

Question = Callable[[random.Random], dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of question."""

    name: str
    most_ms: float
    ask: Question = field(repr=False)
    #: also the timeline of a call: of the one that was found, or of the one asked for
    timeline: bool = False


def cases(plan: Plan) -> list[Case]:
    """All that is asked: a call with its timeline; a page of 50 by each filter, and by some with a time range."""

    def any_call(chance: random.Random) -> int:
        while True:  # one that the provider has given an id
            n = chance.randrange(plan.count - OPEN)
            if story_of(plan, n, plan.count - OPEN) != REJECTED:
                return n

    def day(chance: random.Random) -> dict[str, str]:
        start = plan.until - SPAN * chance.uniform(1 / 60, 1)
        return {"created_after": _iso(start), "created_before": _iso(start + SPAN / 60)}

    def its_day(chance: random.Random, n: int) -> dict[str, str]:
        """Mostly a day on which the call was placed, for most of the others have nothing to find."""
        if chance.random() < 0.3:
            return day(chance)
        start = plan.call(n).at - SPAN / 60 * chance.random()
        return {"created_after": _iso(start), "created_before": _iso(start + SPAN / 60)}

    def campaign_then(chance: random.Random) -> dict[str, str]:
        n = any_call(chance)
        return {"campaign": plan.call(n).campaign, **its_day(chance, n)}

    def number_then(chance: random.Random) -> dict[str, str]:
        n = any_call(chance)
        return {"to": plan.call(n).to, **its_day(chance, n)}

    def last_day(_chance: random.Random) -> dict[str, str]:
        return {"updated_after": _iso(plan.until - SPAN / 60)}

    statuses = [*sorted(set(OUTCOMES.values())), "queued", "rejected", "unconfirmed"]
    outcomes = [s for s in statuses if s not in ("queued", "unconfirmed")] + ["unknown"]
    filters: dict[str, Question] = {
        "status": lambda r: {"status": r.choice(statuses)},
        "outcome": lambda r: {"outcome": r.choice(outcomes)},
        "settled": lambda r: {"settled": r.choice(["true", "false"])},
        "campaign": lambda r: {"campaign": plan.call(any_call(r)).campaign},
        "to": lambda r: {"to": plan.call(any_call(r)).to},
    }
    others: dict[str, Question] = {
        "no filter": lambda r: {},
        "status, two of them": lambda r: {"status": ",".join(r.sample(statuses, 2))},
        "answered": lambda r: {"answered": r.choice(["true", "false"])},
        "disputed": lambda r: {"disputed": r.choice(["true", "false"])},
        "account": lambda r: {"account": "thundersms"},
        "reference": lambda r: {"reference": plan.call(any_call(r)).reference},
        "submission_id": lambda r: {"submission_id": plan.call(any_call(r)).provider_id},
        "created_after": lambda r: {"created_after": day(r)["created_after"]},
        "created_before": lambda r: {"created_before": day(r)["created_before"]},
        "updated_after": last_day,
        "ordered by updated_at": lambda r: {"order": r.choice(["updated_at", "-updated_at"])},
    }
    narrowed: dict[str, Question] = {"campaign": campaign_then, "to": number_then}
    ranged = [
        Case(
            name=f"{name} + {range_name}",
            most_ms=PAGE_MS,
            ask=narrowed.get(name, _both(ask, when)) if when is day else _both(ask, when),
        )
        for name, ask in filters.items()
        for range_name, when in (("a day of created", day), ("updated_after", last_day))
    ]
    by_number = {"by id": "id", "by submission id": "submission_id"}
    return [
        *(
            Case(name=f"call and timeline {name}", most_ms=CALL_MS, timeline=True,
                 ask=lambda r, key=key: {key: str(any_call(r))})  # type: ignore[misc]
            for name, key in by_number.items()
        ),
        *(Case(name=name, most_ms=PAGE_MS, ask=ask) for name, ask in (filters | others).items()),
        *ranged,
    ]  # fmt: skip


def _both(first: Question, second: Question) -> Question:
    return lambda chance: first(chance) | second(chance)


class Reader:
    """Asks a server, and reads in its log how long each answer took."""

    def __init__(self, running: Running, plan: Plan) -> None:
        self._plan = plan
        self._connection = http.client.HTTPConnection(urlsplit(running.origin).netloc, timeout=120)
        self._log = running.log.open("rb")
        self._rest = b""
        self._chance = random.Random(1)
        #: ids of calls by their number in the plan
        self._ids: dict[str, str] = {}

    def close(self) -> None:
        self._connection.close()
        self._log.close()

    def measure(self, case: Case, times: int) -> dict[str, Any]:
        """Put a question so many times, each with other values; gives p50 and p95 in ms inside the server, how many
        answers were empty, and whether a page was ever full."""
        questions = [case.ask(self._chance) for _ in range(times)]
        looked_up = 0
        if case.timeline:  # their ids are looked up before, by another way than the one that is measured
            for question in questions:
                number = next(iter(question.values()))
                reference = self._plan.call(int(number)).reference
                if number not in self._ids:
                    self._ids[number] = self._get(f"?{urlencode({'reference': reference})}")["data"][0]["id"]
                    looked_up += 1
        self._took_of(looked_up)
        asked, lengths = 0, []
        for question in questions:
            if case.timeline:
                key, number = next(iter(question.items()))
                id = self._ids[number]
                provider_id = self._plan.call(int(number)).provider_id
                found = self._get(f"/{id}" if key == "id" else f"?{urlencode({key: provider_id})}")
                assert id in (found.get("id"), *(c["id"] for c in found.get("data", ()))), (
                    "the call was found"
                )
                lengths.append(len(self._get(f"/{id}/timeline")["data"]))
                asked += 2
            else:
                lengths.append(len(self._get(f"?{urlencode({**question, 'limit': '50'})}")["data"]))
                asked += 1
        took = self._took_of(asked)
        if case.timeline:
            took = [one + other for one, other in zip(took[::2], took[1::2], strict=True)]
        took.sort()
        return {
            "p50_ms": round(percentile(took, 0.5), 1), "p95_ms": round(percentile(took, 0.95), 1),
            "max_ms": round(took[-1], 1), "empty": lengths.count(0), "largest": max(lengths),
        }  # fmt: skip

    def _get(self, path: str) -> Any:
        self._connection.request("GET", _ROUTE + path, headers={"Authorization": f"Bearer {API_TOKEN}"})
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} was answered {response.status}: {body[:500]!r}")
        return json.loads(body)

    def _took_of(self, answers: int) -> list[float]:
        """How long so many answers took; a line may be written a moment after the answer has come."""
        took: list[float] = []
        deadline = time.monotonic() + _LOG_S
        while len(took) < answers:
            took += self._took()
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server's log tells of {len(took)} of {answers} answers")
            time.sleep(0.001)
        return took

    def _took(self) -> list[float]:
        """Of the answers about calls that were logged since the last time, in milliseconds."""
        *lines, self._rest = (self._rest + self._log.read()).split(b"\n")
        entries = (json.loads(line) for line in lines if b'"request.answered"' in line)
        return [e["took_ms"] for e in entries if str(e["route"]).startswith(_ROUTE)]


@contextmanager
def callbacks_coming_in(running: Running, plan: Plan, folder: Path, rate: float) -> Iterator[None]:
    """Meanwhile callbacks for the open calls arrive at this rate, again and again."""
    numbers = [n for n in plan.order("shuffled") if story_of(plan, n, plan.count - OPEN) == QUEUED]
    path = folder / "bodies-open"
    with path.open("wb") as out:
        out.writelines(plan.callback(n) + b"\n" for n in numbers)
    bodies = Bodies(plan=plan, order=numbers, path=path)
    stop = threading.Event()
    failed: list[BaseException] = []

    def meanwhile(load: subprocess.Popen[bytes]) -> None:
        while load.poll() is None and not stop.wait(0.05):
            pass
        load.terminate() if load.poll() is None else None

    def run() -> None:
        try:
            while not stop.is_set():
                phases.send(
                    running, bodies, folder, seconds=30, rate=rate, meanwhile=meanwhile, may_end=stop.is_set
                )
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def together(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one kind of question of all rounds: medians of the times."""
    found: dict[str, Any] = {
        name: statistics.median(told[name] for told in rounds) for name in ("p50_ms", "p95_ms", "max_ms")
    }
    return found | {
        "empty": sum(told["empty"] for told in rounds), "largest": max(told["largest"] for told in rounds)
    }  # fmt: skip


def verdict(small: dict[str, Any] | None, large: dict[str, Any], most_ms: float) -> list[str]:
    """What is wrong with a figure. A growth below half a millisecond is none: the log has tenths."""
    wrong = []
    if large["p95_ms"] >= most_ms:
        wrong.append(f"not below {most_ms:g} ms")
    if small is not None and large["p95_ms"] > max(1.5 * small["p95_ms"], small["p95_ms"] + 0.5):
        wrong.append("grew by more than half")
    return wrong


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
