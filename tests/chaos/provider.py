"""The provider of a chaos run: it answers as it likes, and tells the tracker what became of the calls, in any order."""

from __future__ import annotations

import heapq
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from tests.processes import BRIDGE, SECRET
from tests.recording_provider import RecordingProvider, Seen, Told, accepted, error

#: seconds until something that was not taken is sent again
_AGAIN_S = 0.3
_OUTCOMES = {"ANSWER": "completed", "BUSY": "busy", "NOANSWER": "no-answer", "CONGESTION": "failed"}
_INDIA = timedelta(hours=5, minutes=30)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One callback that is to be taken: posted until somebody answers 2xx, each time with a marker of its own."""

    fields: dict[str, Any]
    #: our submission that it is about, and what becomes of it; None where it is about none of ours
    submission: str | None = None
    outcome: str | None = None


class Postman:
    """Brings letters, several at once, to whichever server there is. Use as a context manager.

    urls: the servers that should be there now.
    """

    def __init__(self, urls: Callable[[], Sequence[str]], chance: Random, *, carriers: int = 6) -> None:
        self._urls, self._chance = urls, chance
        self._numbers = itertools.count()
        self._mutex = threading.Condition()
        self._waiting: list[tuple[float, int, Letter]] = []
        self._carried = 0
        self._stopping = False
        self._threads = [threading.Thread(target=self._carry, daemon=True) for _ in range(carriers)]
        #: by marker, what was answered 2xx
        self.answered: dict[str, Letter] = {}
        #: statuses other than 200 and 503
        self.surprises: list[int] = []
        self.refused = 0

    def __enter__(self) -> Postman:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._mutex:
            self._stopping = True
            self._mutex.notify_all()
        for thread in self._threads:
            thread.join()

    def send(self, letter: Letter, after_s: float = 0.0) -> None:
        with self._mutex:
            heapq.heappush(self._waiting, (time.monotonic() + after_s, next(self._numbers), letter))
            self._mutex.notify()

    @property
    def left(self) -> int:
        """How many letters nobody has taken yet."""
        return len(self._waiting) + self._carried

    def _carry(self) -> None:
        while True:
            with self._mutex:
                while not self._stopping and (not self._waiting or self._waiting[0][0] > time.monotonic()):
                    wait = self._waiting[0][0] - time.monotonic() if self._waiting else None
                    self._mutex.wait(wait)
                if self._stopping:
                    return
                _, number, letter = heapq.heappop(self._waiting)
                self._carried += 1
            try:
                taken = self._deliver(letter, f"m{number}")
            finally:
                with self._mutex:
                    self._carried -= 1
            if not taken:
                self.send(letter, _AGAIN_S)

    def _deliver(self, letter: Letter, marker: str) -> bool:
        urls = self._urls()
        if not urls:
            return False
        connection = http.client.HTTPConnection(urlsplit(self._chance.choice(urls)).netloc, timeout=15)
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        try:
            connection.request(
                "POST", "/callbacks/thundersms", json.dumps({**letter.fields, "marker": marker}), headers
            )
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return False  # it was killed, or stands still; whether it has stored this one, nobody knows
        finally:
            connection.close()
        if response.status == 200:
            self.answered[marker] = letter
            return True
        if response.status == 503:
            self.refused += 1
        else:
            self.surprises.append(response.status)
        return False


@dataclass(kw_only=True)
class Exchange:
    """What the provider knows of the dials: by our submission's id, which every request carries."""

    postman: Postman
    chance: Random
    #: while it is calm everything is accepted at once
    calm: bool = False
    outcomes: dict[str, str] = field(default_factory=dict)

    def decide(self, seen: Seen) -> Told:
        """Answer one request to dial, and send the callbacks about it: some before the answer."""
        if len(seen.body) < int(seen.headers["Content-Length"]):
            return Told(drop=True)  # its sender was killed while it wrote
        asked = seen.json()
        submission, to = asked["custom"], _number(asked)
        kinds = ["accepted", "500", "429", "drop", "silence"]
        kind = "accepted" if self.calm else self.chance.choices(kinds, [8, 1, 1, 1, 1])[0]
        if kind == "429":
            return error(429, "Too Many Attempts.", Retry_After="1")
        id = f"{UUID(int=self.chance.getrandbits(128), version=4)}:1"
        if kind == "accepted" or self.chance.random() < 0.5:
            self._ring(submission, id, to)
        hang_s = 0.0 if self.calm else self.chance.choice([0.0, 0.0, 0.1, 0.3])
        match kind:
            case "accepted":
                told = accepted(id)
                return Told(body=told.body, headers=told.headers, hang_s=hang_s)
            case "500":
                return error(500, "Server Error")
            case "drop":
                return Told(drop=True, hang_s=hang_s)
            case _:
                return Told(hang_s=2.0, drop=True)

    def _ring(self, submission: str, id: str, to: str) -> None:
        word = self.chance.choice(list(_OUTCOMES))
        began = datetime.now(UTC) + _INDIA
        whole = {
            "to": to, "bridge": BRIDGE, "status": word, "start_at": f"{began:%Y-%m-%d %H:%M:%S}",
            "end_at": f"{began + timedelta(seconds=9):%Y-%m-%d %H:%M:%S}", "duration": "9",
        }  # fmt: skip
        self.outcomes[submission] = _OUTCOMES[word]
        # by its id; by the reference of ours that comes back; by the number alone
        ways: list[dict[str, Any]] = [
            {"id": id},
            {"id": id.upper()},
            {"id": id.removesuffix(":1")},
            {"custom": submission},
            {},
        ]
        letters = [
            {**whole, **way}
            for way in self.chance.choices(ways, [8, 1, 1, 2, 1], k=self.chance.choice([1, 1, 2, 3]))
        ]
        if self.chance.random() < 0.3:
            letters.append({"id": id, "to": to, "status": "QUEUED"})
        for fields in letters:
            # some are faster than the answer, some come seconds later, and out of order
            after_s = self.chance.choice([0.0, 0.0, 0.05, 0.2, 0.5, 1.0, 3.0])
            letter = Letter(fields=fields, submission=submission, outcome=_OUTCOMES.get(fields["status"]))
            self.postman.send(letter, after_s)
        if self.chance.random() < 0.2:
            unknown = {"id": f"nobody-knows-{id}", "to": "918919520002", "status": word}
            self.postman.send(Letter(fields=unknown))


def _number(asked: Any) -> str:
    for name in ("to", "mobile", "number", "receiver"):
        if name in asked:
            return str(asked[name]).lstrip("+")
    raise AssertionError(f"the request names no callee: {asked}")


def chaotic(postman: Postman, seed: int) -> tuple[RecordingProvider, Exchange]:
    """A provider whose moods follow from the seed and the order of requests."""
    exchange = Exchange(postman=postman, chance=Random(seed))
    return RecordingProvider(exchange.decide), exchange
