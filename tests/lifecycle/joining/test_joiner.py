"""The joiner reads the inbox behind its position; what a batch comes to and the new position are one transaction."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import oracle
from tests.inbox import new_callback
from tests.lifecycle.house import House
from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining import joiner as joiner_module
from tracker.lifecycle.joining.joiner import Joiner
from tracker.lifecycle.joining.loop import run_joiner
from tracker.lifecycle.joining.parse import parse
from tracker.store.engine.database import Database
from tracker.store.inbox import log, position
from tracker.store.schema import tables as t


@pytest.fixture
def other(house: House) -> Iterator[Database]:
    """The same database as another process opens it."""
    opened = Database(house.database.url.render_as_string(hide_password=False))
    yield opened
    opened.close()


def busy(id: str) -> bytes:
    return json.dumps({"id": id, "status": "BUSY"}).encode()


def outcomes(house: House) -> dict[str, str]:
    query = sa.select(t.callbacks.c.id, t.callbacks.c.state)
    return {row.id: row.state for row in house.database.read(lambda c: c.execute(query).all())}


def test_position_moves_with_what_the_batch_comes_to(house: House) -> None:
    house.place()
    new = [new_callback(busy(f"n{n}")) for n in range(7)]
    log.append(house.database, new)
    small = Joiner(house.database, house.program.accounts, house.clock, batch=3)
    assert [small.join_batch() for _ in range(4)] == [3, 3, 1, 0]
    assert set(outcomes(house)) == {n.id for n in new}
    last = house.database.inbox.read(log.last_position)
    assert house.database.read(position.joined_position) == last


def test_a_joiner_that_was_overtaken_writes_nothing(
    house: House, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two joiners read the same batch; the slower one finds the position moved, and lets go of its work."""
    log.append(house.database, [new_callback(busy(f"n{n}")) for n in range(5)])
    faster = Joiner(other, house.program.accounts, house.clock)
    real = parse

    def parse_while_the_other_joins(*args: Any) -> Any:
        monkeypatch.setattr(joiner_module, "parse", real)
        assert faster.join_batch() == 5
        return real(*args)

    monkeypatch.setattr(joiner_module, "parse", parse_while_the_other_joins)
    assert house.program.joiner.join_batch() == 0
    assert len(outcomes(house)) == 5
    assert house.program.joiner.join_batch() == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=3),
    kills=st.lists(st.booleans(), min_size=5, max_size=20),
    repeats=st.integers(1, 3),
)
def test_each_callback_counts_once_through_rivals_and_kills(
    house: House, other: Database, sizes: list[int], kills: list[bool], repeats: int
) -> None:
    call = house.place()
    id = house.provider_id(call)
    for _ in range(repeats):
        log.append(house.database, [new_callback(busy(id)), new_callback(busy("nobodys"))])
    joiners = [
        Joiner(database, house.program.accounts, house.clock, batch=size)
        for database, size in zip((house.database, other, house.database), sizes, strict=False)
    ]

    class Killed(BaseException):
        pass

    for n, is_killed in enumerate(kills):
        joiner = joiners[n % len(joiners)]
        if is_killed:

            def kill(*_: Any, **__: Any) -> None:
                raise Killed

            with pytest.MonkeyPatch.context() as patch:
                # everything of the batch is written, and the process dies before the commit
                patch.setattr(joiner_module.log, "info", kill)
                patch.setattr("tracker.lifecycle.joining.full_match.log.info", kill)
                try:
                    joiner.join_batch()
                except Killed:
                    continue
        else:
            joiner.join_batch()
    while joiners[0].join_batch():
        pass
    assert oracle.find_differences(house.database, house.program.accounts) == []
    assert house.timeline(call).status == "busy"


def test_callbacks_of_an_unknown_account_wait_until_it_is_configured(house: House) -> None:
    call = house.place()
    new = new_callback(busy(house.provider_id(call)))
    log.append(house.database, [new])
    forgetful = Joiner(house.database, {}, house.clock)
    assert forgetful.join_batch() == 1
    assert outcomes(house) == {new.id: "pending"}
    assert forgetful.join_left_pending() == 0
    assert house.program.joiner.join_left_pending() == 1
    assert outcomes(house) == {new.id: "joined"}
    assert house.timeline(call).status == "busy"
    assert house.program.joiner.join_left_pending() == 0


def test_the_loop_goes_on_after_errors_and_stops_when_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping, joined = threading.Event(), threading.Event()
    errors: list[Exception] = [StorageUnavailable("not now"), ZeroDivisionError()]
    joiner = house.program.joiner
    real = joiner.join_batch

    def join_batch() -> int:
        if errors:
            raise errors.pop()
        done = real()
        if done:
            joined.set()
        return done

    monkeypatch.setattr(joiner, "join_batch", join_batch)
    monkeypatch.setattr("tracker.lifecycle.joining.loop._ERROR_S", 0.01)
    new = new_callback(busy("n"))
    log.append(house.database, [new])
    running = threading.Thread(target=run_joiner, args=(joiner, stopping))
    running.start()
    assert joined.wait(30)
    stopping.set()
    running.join(30)
    assert not running.is_alive()
    assert outcomes(house) == {new.id: "orphaned"}
