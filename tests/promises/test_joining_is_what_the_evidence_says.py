"""Promise: order does not matter, told of the whole joiner.

Whatever was stored, in whatever order and batches, and however sender, joiner, operator and question ran through each
other: the database says in the end what the pure functions say of all the evidence at once.

`match` over every receipt and every submission gives the joins, `derive` over what is joined gives the events, `fold`
gives the caches. The joiner never looks at everything: it gathers what can matter. That it gathers enough is the test.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from tests import oracle
from tests.lifecycle.house import BRIDGE, House
from tests.postgres_server import temporary_parent
from tests.recording_provider import accepted, callstatus, error
from tracker.domain.calls import Submission
from tracker.errors import Conflict
from tracker.lifecycle.sending.claim import Claim
from tracker.lifecycle.services import build_services
from tracker.providers.base import ExchangeFailure, HttpRequest, HttpResponse
from tracker.store.calls.submissions import update_submissions
from tracker.store.engine.database import inbox_path
from tracker.store.schema import tables as t

BEGAN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
NUMBERS = ("+918919525224", "+917619360003")
IDS = (
    "70fa87e0-9df9-4327-bc80-a561c48703d8:1",
    "b53dd3ae-4d9f-46a4-8a3c-30d3b1c3f2ba:2",
    "3b69aca9-3b55-4e2d-bfe0-02b910dbe156",
    # of the first one's request
    "70fa87e0-9df9-4327-bc80-a561c48703d8:2",
)
ECHOED = (*IDS, IDS[0].upper(), IDS[0].removesuffix(":1"), f"{IDS[2]}:1", "somebody-elses")
HEADERS = ((b"content-type", b"application/json"),)
HOUR = 3600
#: what the joiner gives no callback the right to more of
_MOST_IDS = 20


class StoryClock:
    """It stands still until it is set."""

    def __init__(self) -> None:
        self.at = BEGAN

    def __call__(self) -> datetime:
        return self.at


# ---- what happens: facts with their times, in seconds since the story began ----


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A call, requested at that time; and what the provider answers in the end."""

    at: int
    to: str
    interval: int | None
    flow: str
    lane: str | None
    answer: str
    id: str


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A callback; `echo` and `asks` name one of the wishes."""

    at: int
    fields: dict[str, Any]
    echo: int | None
    lane: str | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The provider is asked about one of the wishes, and says this."""

    about: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """Somebody says where a callback belongs; None: nowhere."""

    callback: int
    to: int | None


WISHES = st.builds(
    Wish,
    at=st.sampled_from([0, 0, 5, 400, 26 * HOUR]),
    to=st.sampled_from([NUMBERS[0], *NUMBERS]),
    interval=st.sampled_from([None, None, 5]),
    flow=st.sampled_from(["24", "24", "25"]),
    lane=st.sampled_from([None, None, "a", "b"]),
    answer=st.sampled_from(["accepted", "accepted", "accepted", "refused", "unclear", "never"]),
    id=st.sampled_from(IDS),
)

RECORDS = {
    "status": st.sampled_from(["ANSWER", "BUSY", "NOANSWER", "CONGESTION", "QUEUED", "WHATEVER"]),
    "start_at": st.sampled_from([2, 2, 302, 2 - 19800, 500]),
    "end_at": st.sampled_from([9, 9, 310, 9 - 19800, -HOUR]),
    "duration": st.sampled_from(["16", "0"]),
    "recording_url": st.sampled_from(["https://sound.example/1", "https://sound.example/2"]),
}
FIELDS = st.fixed_dictionaries(
    {"to": st.sampled_from([n.lstrip("+") for n in (NUMBERS[0], *NUMBERS)])},
    optional={
        **RECORDS,
        "id": st.sampled_from(ECHOED),
        "parent_id": st.sampled_from(ECHOED),
        "mid": st.sampled_from(["1234-1333-00004", IDS[2], IDS[0].removesuffix(":1")]),
        "bridge": st.sampled_from([BRIDGE, "918068289999"]),
        "flow_id": st.sampled_from(["24", "25"]),
        "source": st.sampled_from(["OBD", "OBD", "C2C"]),
    },
)


HEARDS = st.builds(
    Heard,
    at=st.sampled_from([3, 10, 20, 410, 7 * HOUR, 26 * HOUR + 5]),
    fields=FIELDS,
    echo=st.sampled_from([None, None, None, 0, 1]),
    lane=st.sampled_from([None, None, None, "a", "b"]),
)
ASKEDS = st.builds(
    Asked,
    about=st.integers(0, 2),
    rows=st.lists(
        st.fixed_dictionaries(
            {"status": RECORDS["status"]}, optional={k: v for k, v in RECORDS.items() if k != "status"}
        ),
        min_size=1,
        max_size=2,
    ),
)
BY_HANDS = st.builds(
    ByHand, callback=st.integers(0, 5), to=st.one_of(st.none(), st.integers(0, 2), st.integers(0, 2))
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    wishes: list[Wish]
    heard: list[Heard]
    asked: list[Asked]
    by_hand: list[ByHand]


FACTS = st.builds(
    Facts,
    wishes=st.lists(WISHES, min_size=1, max_size=3),
    # what is said twice is common, and the second time may be hours later
    heard=st.lists(HEARDS, min_size=1, max_size=6).flatmap(
        lambda said: st.lists(st.sampled_from(said), max_size=2).map(
            lambda again: [*said, *(replace(h, at=h.at + 60) for h in again)]
        )
    ),
    asked=st.lists(ASKEDS, max_size=2),
    by_hand=st.lists(BY_HANDS, max_size=2),
)


class Telling:
    """The facts told to one house, each step when the test says so."""

    def __init__(self, house: House, facts: Facts) -> None:
        self.house, self.facts = house, facts
        self.clock = StoryClock()
        house.program = build_services(house.database, {"thundersms": house.account}, self.clock)
        self.claims: dict[int, Claim] = {}
        self.heard: dict[int, tuple[str, str | None, datetime, bytes]] = {}
        self.hands: dict[str, str | None] = {}
        # the sender's look for what was early comes apart from its commit: as late as the test wants
        self.looks: list[Callable[[], None]] = []
        self._look_for = house.program.joiner.match_after_accept
        house.program.joiner.match_after_accept = self._later  # type: ignore[method-assign]

    def _later(self, submission: Submission, *, lock_timeout_s: float | None = None) -> None:
        self.looks.append(lambda: self._look_for(submission))

    def steps(self) -> list[Callable[[], None]]:
        """Everything that happens, in the order of the story; any other order is as good."""
        return [
            *(lambda n=n: self.request(n) for n in range(len(self.facts.wishes))),
            *(lambda n=n: self.hear(n) for n in range(len(self.facts.heard))),
            *(lambda n=n: self.answer(n) for n in range(len(self.facts.wishes))),
            *(lambda a=a: self.ask(a) for a in self.facts.asked),
        ]

    def request(self, n: int) -> None:
        """Place it and make it `submitting`: the request leaves."""
        if n in self.claims:
            return
        wish = self.facts.wishes[n]
        self._time(wish.at)
        interval = {} if wish.interval is None else {"interval": wish.interval}
        call = self.house.place(wish.to, send=False, **{"flow_id": wish.flow, **interval})
        submission = self.house.submissions(call)[0].id
        self.house.database.write(lambda c: update_submissions(c, [], {submission: {"lane": wish.lane}}))
        claim = self.house.program.sender.claim(submission)
        assert claim is not None
        self.claims[n] = claim

    def answer(self, n: int) -> None:
        """The provider's answer is committed; the look for what was early is still to come."""
        self.request(n)
        wish, claim = self.facts.wishes[n], self.claims[n]
        self._time(wish.at + 1)
        told: dict[str, HttpResponse | ExchangeFailure] = {
            "accepted": HttpResponse(status=200, headers=HEADERS, body=accepted(wish.id).body),
            "refused": HttpResponse(status=400, headers=HEADERS, body=error(400, "No such number.").body),
            "unclear": HttpResponse(status=502, headers=HEADERS, body=b"{}"),
        }
        if wish.answer in told:
            self.house.program.sender.record_response(claim, told[wish.answer], self.clock())

    def hear(self, n: int) -> None:
        heard = self.facts.heard[n]
        # no callback comes before its request; others may be stored late
        for k, wish in enumerate(self.facts.wishes):
            if wish.at <= heard.at:
                self.request(k)
        fields = self._timed(heard.fields)
        if heard.echo is not None and heard.echo in self.claims:
            fields["custom"] = self.claims[heard.echo].submission.id
        body = json.dumps(fields).encode()
        at = BEGAN + timedelta(seconds=heard.at, milliseconds=n)  # no two in one moment
        self.heard[n] = (self.house.receive_at(body, at, lane=heard.lane), heard.lane, at, body)

    def ask(self, asked: Asked) -> None:
        if asked.about not in self.claims or not self._submission(asked.about).submission_id:
            return
        wish = self.facts.wishes[asked.about]
        rows = [{"id": self._submission(asked.about).submission_id, **self._timed(row)} for row in asked.rows]
        self._time(wish.at + 900)

        async def told(request: HttpRequest, **_: Any) -> HttpResponse:
            return HttpResponse(status=200, headers=HEADERS, body=callstatus(*rows).body)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tracker.lifecycle.polling.poll.exchange", told)
            asyncio.run(self.house.program.poller.poll(self._submission(asked.about).id))

    def decide(self, by: ByHand) -> None:
        """Somebody decides: about what was read, for nobody can about anything else."""
        if by.callback not in self.heard or (by.to is not None and by.to not in self.claims):
            return
        self._time(30 * HOUR + len(self.hands))
        self.house.join()
        id = self.heard[by.callback][0]
        try:
            if by.to is None:
                self.house.program.callback_actions.ignore(id)
                self.hands[id] = None
            else:
                submission = self.claims[by.to].submission.id
                self.house.program.callback_actions.join(id, submission=submission, force=True)
                self.hands[id] = submission
        except Conflict:
            event("an operator was refused")

    def look(self) -> None:
        looks, self.looks = self.looks, []
        for look in looks:
            look()

    def look_again(self) -> None:
        """As the timer does, an hour after everything."""
        self._time(31 * HOUR)
        self.house.program.joiner.retry_orphans()

    def says(self) -> tuple[oracle.State, oracle.State]:
        """(what the database says, what it has to say)."""
        return oracle.compare(self.house.database, self.house.program.accounts)

    def _submission(self, n: int) -> Any:
        return self.house.submissions(self.claims[n].submission.call)[0]

    def _time(self, seconds: float) -> None:
        self.clock.at = BEGAN + timedelta(seconds=seconds)

    @staticmethod
    def _timed(fields: dict[str, Any]) -> dict[str, Any]:
        """With its times as the provider writes them."""
        timed = dict(fields)
        for name in timed.keys() & {"start_at", "end_at"}:
            moment = BEGAN + timedelta(hours=5, minutes=30, seconds=timed[name])
            timed[name] = f"{moment:%Y-%m-%d %H:%M:%S}"
        return timed


# ---- a fresh house for every story ----


@pytest.fixture
def houses(database_url: str) -> Iterator[Callable[[], House]]:
    """Makes empty houses, quickly: SQLite's from a copy in memory where there is some, PostgreSQL's by emptying one."""
    with closing(House(database_url, "http://127.0.0.1:9/")) as first:
        if first.database.is_sqlite:
            pattern = first.database.path
            assert pattern is not None
            with tempfile.TemporaryDirectory(dir=temporary_parent()) as folder:
                first.close()
                made: list[House] = []

                def copied() -> House:
                    for house in made:
                        house.close()
                    file = Path(folder) / f"{len(made)}.db"
                    shutil.copyfile(pattern, file)
                    shutil.copyfile(inbox_path(pattern), inbox_path(file))
                    made[:] = [*made, House(f"sqlite:///{file}", "http://127.0.0.1:9/")]
                    return made[-1]

                yield copied
                for house in made:
                    house.close()
        else:
            names = ", ".join(
                table.name
                for table in t.metadata.sorted_tables
                if table.name not in ("settings", "alembic_version")
            )

            def emptied() -> House:
                first.database.write(lambda c: c.execute(sa.text(f"truncate {names}")))
                return first

            yield emptied


def _tell(house: House, facts: Facts, data: st.DataObject) -> Telling:
    telling = Telling(house, facts)
    # what people decide keeps its order, between whatever else
    steps: list[Callable[[], None] | None] = [*telling.steps(), *(None for _ in facts.by_hand)]
    hands = iter(facts.by_hand)
    for step in data.draw(st.permutations(steps)):
        step() if step is not None else telling.decide(next(hands))
        match data.draw(st.sampled_from(["", "", "join", "look", "both", "again"])):
            case "join":
                house.join()
            case "look":
                telling.look()
            case "both":
                house.join()
                telling.look()
            case "again":
                telling.look_again()
    # the last things: in either order
    if data.draw(st.booleans()):
        telling.look()
    house.join()
    telling.look()
    return telling


def _holds(houses: Callable[[], House], facts: Facts, data: st.DataObject) -> None:
    telling = _tell(houses(), facts, data)
    have, want = telling.says()
    assert have == want
    # and it stays so, whoever looks again
    telling.look_again()
    ids = [id for id, *_ in telling.heard.values()]
    for id in data.draw(st.permutations(ids)):
        telling.house.database.write(
            lambda c, id=id: telling.house.program.joiner.rematch_callbacks(c, "thundersms", [id])  # type: ignore[misc]
        )
    have, again = telling.says()
    assert have == again
    assert again == want


@settings(
    max_examples=40,
    deadline=None,
    # made smaller, a failure would take longer than a test may
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(facts=FACTS, data=st.data())
def test_the_database_says_what_all_the_evidence_says(
    houses: Callable[[], House], facts: Facts, data: st.DataObject
) -> None:
    _holds(houses, facts, data)
