"""The reckoning finds what is broken: after a run where nothing went wrong, one thing at a time is made wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from tests.chaos.accounting import reckon
from tests.chaos.callers import Callers
from tests.chaos.provider import Exchange, Letter, Postman, chaotic
from tests.chaos.run import ACCOUNT
from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider

SEED = 7


class Scene:
    """Some calls that were placed and answered, their callbacks joined, and what everybody remembers of it."""

    def __init__(self, url: str, leaving: ExitStack) -> None:
        self.url = url
        self.postman = Postman(list, Random(SEED))
        self.callers = Callers(list, SEED)
        self.provider: RecordingProvider
        self.exchange: Exchange
        self.provider, self.exchange = chaotic(self.postman, SEED)
        self.exchange.calm = True
        leaving.enter_context(self.provider)
        with closing(House(url, self.provider.base_url, **ACCOUNT)) as house:
            for n in range(3):
                call = house.place(f"+91900000000{n}")
                self.callers.told[f"key-{n}"].add(call)
                submission = house.submissions(call)[0].id
                fields = {"id": house.provider_id(call), "status": "BUSY", "marker": f"m{n}"}
                house.receive(fields)
                self.postman.answered[f"m{n}"] = Letter(fields=fields, submission=submission, outcome="busy")

    def broken(self) -> list[str]:
        return reckon(self.url, self.provider, self.exchange, self.postman, self.callers, **ACCOUNT)

    def spoil(self, statement: str) -> None:
        with closing(House(self.url, self.provider.base_url, **ACCOUNT)) as house:
            database = house.database.inbox if "update inbox" in statement else house.database
            assert database.write(lambda c: c.execute(sa.text(statement))).rowcount > 0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as leaving:
        yield Scene(f"sqlite:///{tmp_path / 'tracker.db'}", leaving)


def test_where_nothing_is_broken_nothing_is_said(scene: Scene) -> None:
    assert scene.broken() == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "update inbox set body = cast(replace(cast(body as text), 'm0', 'm1') as blob)",
            "m0 was answered and is not there",
        ),
        (
            "update callbacks set submission_id = null, state = 'orphaned' where id = (select max(id) from callbacks)",
            "without a reason",
        ),
        ("update calls set status = 'completed' where id = (select min(id) from calls)", "cache"),
        ("update events set status = 'failed' where source = 'callback' and status = 'busy'", "events"),
        ("delete from events where source = 'callback'", "events"),
        ("update submissions set reason = 'x'", "cache"),
        ("update callbacks set repeat_of = id", "repeat|is .*not"),
    ],
)
def test_what_is_wrong_in_the_database_is_said(scene: Scene, statement: str, said: str) -> None:
    scene.spoil(statement)
    broken = "\n".join(scene.broken())
    assert re.search(said, broken), broken


def test_a_second_request_for_a_submission_is_said(scene: Scene) -> None:
    scene.provider.seen.append(scene.provider.sent[0])
    assert any("reached the provider 2 times" in what for what in scene.broken())


def test_a_call_that_is_missing_and_one_too_many_are_said(scene: Scene) -> None:
    scene.callers.told["key-0"] = {"call_nobody_knows"}
    broken = "\n".join(scene.broken())
    assert "call_nobody_knows was answered and is not there" in broken
    assert "is one that nobody asked for" in broken


def test_what_is_left_undone_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.chaos.accounting._FINISH_S", 0.5)
    scene.spoil("update submissions set status = 'submitting', lease_until = '2999-01-01 00:00:00.000000'")
    assert any(what.startswith("stuck: ") for what in scene.broken())
