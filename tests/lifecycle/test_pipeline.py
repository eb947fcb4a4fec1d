"""Batches that are worked out beside this process: they are the same, written once each, and nothing hangs on it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.lifecycle.house import House
from tracker.domain.accounts import Account
from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining import joiner as joining
from tracker.lifecycle.joining import prefetch, prefetch_process, prepare
from tracker.lifecycle.joining.joiner import Joiner
from tracker.lifecycle.joining.line import Line
from tracker.lifecycle.joining.prefetch_process import Companion, Lost
from tracker.store.engine.database import Database

RECORD = {"status": "BUSY", "start_at": "2026-01-05 10:00:00", "end_at": "2026-01-05 10:00:09"}
BATCH = 4
#: a net under what hangs
HANGS_S = 30.0


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few callbacks are many; and a second processor, wherever the tests run."""
    monkeypatch.setattr(joining, "_MOST", BATCH)
    monkeypatch.setattr(joining, "_FEWEST", BATCH)
    monkeypatch.setattr(prefetch, "HERE", BATCH)
    monkeypatch.setattr(prefetch, "BESIDE", BATCH)
    monkeypatch.setattr(prefetch, "_processors", lambda: 2)


@pytest.fixture
def beside(house: House) -> Iterator[Companion]:
    started = Companion(house.database, {"thundersms": house.account}, prefetch_process.code())
    wait_until(lambda: started.ready)
    yield started
    started.close()


@pytest.fixture
def joiner(house: House) -> Iterator[Joiner]:
    """The joiner of a process that stays."""
    made = Joiner(house.database, {"thundersms": house.account}, house.clock, beside=True)
    yield made
    made.close()


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + HANGS_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_companion(joiner: Joiner) -> bool:
    found = joiner._pipeline._companion
    return found is not None and found.ready


def started(house: House, joiner: Joiner) -> Companion:
    """By full batches; it is ready."""
    receive(house, 3 * BATCH)
    for _ in range(3):
        joiner.join_pending()
    wait_until(lambda: has_companion(joiner))
    found = joiner._pipeline._companion
    assert found is not None
    return found


def receive(house: House, count: int, *, first: int = 0) -> tuple[list[str], list[str]]:
    """Calls to numbers of their own, and a callback of each that nobody has read."""
    calls = [house.place(f"+9198068{n:05d}") for n in range(first, first + count)]
    return calls, [house.receive({**RECORD, "id": house.provider_id(call)}, join=False) for call in calls]


def here(house: House, most: int, besides: Iterable[str] = ()) -> prepare.Batch:
    return prepare.work_out(house.database, {"thundersms": house.account}, asked(most, besides))


def asked(most: int, besides: Iterable[str] = (), at_once: int = 100) -> prepare.Question:
    return prepare.Question(most, at_once, frozenset(besides))


def test_a_batch_that_is_worked_out_beside_is_the_same(house: House, beside: Companion) -> None:
    _, callbacks = receive(house, 3)
    orphan = house.receive({**RECORD, "id": "nobody:1"}, join=False)
    unreadable = house.receive(b"no record", join=False)
    beside.ask(asked(10))
    assert beside.asked
    there = beside.answer()
    assert not beside.asked
    expected = here(house, 10)
    assert there.said == expected.said
    assert {s.id for s in there.said} == {orphan, unreadable}
    assert [p.claims for p in there.prepared] == [p.claims for p in expected.prepared]
    assert [c.receipt for p in there.prepared for c in p.claims] == callbacks
    assert not there.full


def test_what_is_worked_on_already_is_in_no_other_batch(house: House, beside: Companion) -> None:
    _, callbacks = receive(house, 5)
    first = here(house, 2)
    assert first.full
    beside.ask(asked(2, first.ids))
    second = beside.answer()
    assert second.full
    assert [*first.ids, *second.ids] == callbacks[:4]


def test_a_batch_has_pieces_of_neighbours(house: House, beside: Companion) -> None:
    """Whatever the order in which the callbacks came."""
    calls = [house.place(f"+9198068{n:05d}") for n in range(7)]
    for call in [calls[n] for n in (5, 0, 3, 6, 1, 4, 2)]:
        house.receive({**RECORD, "id": house.provider_id(call)}, join=False)
    beside.ask(asked(10, at_once=3))
    assert [[c.call for c in p.claims] for p in beside.answer().prepared] == [
        calls[:3],
        calls[3:6],
        calls[6:],
    ]


def test_while_one_batch_is_written_the_next_is_worked_out(house: House, joiner: Joiner) -> None:
    calls, _ = receive(house, 4 * BATCH)
    for _ in range(3):  # the companion is started by full batches
        assert joiner.join_pending().count == BATCH
    wait_until(lambda: has_companion(joiner))
    more, callbacks = receive(house, 3 * BATCH, first=100)
    joined = [joiner.join_pending().count for _ in range(5)]
    assert sum(joined) == 4 * BATCH, joined
    assert not joiner.join_pending()
    assert [house.standing(id).state for id in callbacks] == ["joined"] * len(callbacks)
    for call in [*calls, *more]:
        assert house.timeline(call).outcome == "busy"
        assert [e.status for e in house.timeline(call).events if e.source == "callback"] == [
            "initiated",
            "busy",
        ]


def test_what_takes_longer_than_a_rest_is_not_waited_for(
    house: House, joiner: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a batch of several pieces is written, the next is worked out, also where this one was not full."""
    beside = started(house, joiner)
    monkeypatch.setattr(prefetch, "BESIDE", 100)
    receive(house, 2 * BATCH, first=100)
    while joiner.join_pending().more:
        assert not beside.asked
    receive(house, 2 * BATCH + 1, first=200)
    assert joiner.join_pending().more
    assert beside.asked


@pytest.mark.parametrize("another_joiner", [False, True])
def test_what_was_worked_out_and_does_not_hold_any_more_is_weighed(
    house: House, joiner: Joiner, another_joiner: bool
) -> None:
    """While the next batch lies ready, one of its calls is canceled; or somebody else joins all of it."""
    beside = started(house, joiner)
    calls, callbacks = receive(house, 2 * BATCH, first=100)
    assert joiner.join_pending().more  # and the next is asked for
    wait_until(beside._line.has_something)
    house.program.call_actions.cancel(calls[-1])
    if another_joiner:
        house.join()
    assert joiner.join_pending().count == BATCH
    assert not joiner.join_pending()
    assert [house.standing(id).state for id in callbacks] == ["joined"] * len(callbacks)
    for call in calls:
        assert [e.status for e in house.timeline(call).events if e.source == "callback"] == [
            "initiated",
            "busy",
        ]
        assert house.timeline(call).cancel_requested == (call == calls[-1])


def test_a_companion_that_is_killed_costs_nothing(house: House, joiner: Joiner) -> None:
    beside = started(house, joiner)
    _, callbacks = receive(house, 3 * BATCH, first=100)
    assert joiner.join_pending().more
    os.kill(beside._process.pid, signal.SIGKILL)
    while joiner.join_pending():
        pass
    assert joiner._pipeline._companion is None
    assert [house.standing(id).state for id in callbacks] == ["joined"] * len(callbacks)


@pytest.mark.parametrize("begun", [False, True])
def test_nobody_waits_for_ever_for_a_companion_that_stands_still(
    house: House, joiner: Joiner, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Before its answer, or in the midst of it; what it would have said is worked out here."""
    beside = started(house, joiner)
    monkeypatch.setattr(prefetch_process, "_PATIENCE_S", 0.3)
    theirs = None
    if begun:  # an answer that is larger than what the line holds
        beside._line.close()
        beside._line, theirs = line_of(b"\0\0\0\0\0\0\1\0" + b"x" * 10)
    os.kill(beside._process.pid, signal.SIGSTOP)
    _, callbacks = receive(house, 3 * BATCH, first=100)
    while joiner.join_pending():
        pass
    assert joiner._pipeline._companion is None
    assert [house.standing(id).state for id in callbacks] == ["joined"] * len(callbacks)
    assert beside._process.returncode == -signal.SIGKILL
    if theirs is not None:
        theirs.close()


def line_of(begun: bytes) -> tuple[Line, socket.socket]:
    """A line on which something has begun to come; and its other end."""
    ours, theirs = socket.socketpair()
    theirs.sendall(begun)
    return Line(ours), theirs


def test_a_companion_with_nothing_to_do_goes(
    house: House, joiner: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(house, joiner)
    monkeypatch.setattr(prefetch, "_IDLE_S", -1.0)
    assert not joiner.join_pending()
    assert joiner._pipeline._companion is None


def test_a_companion_that_is_busy_stays_though_no_batch_is_full(
    house: House, joiner: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = started(house, joiner)
    monkeypatch.setattr(prefetch, "BESIDE", 100)
    monkeypatch.setattr(prefetch, "_IDLE_S", -1.0)
    receive(house, 2 * BATCH + 1, first=100)
    assert joiner.join_pending().more
    assert joiner._pipeline._companion is beside


def test_a_companion_that_cannot_be_started_is_done_without(
    house: House, joiner: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any, **__: Any) -> Any:
        raise OSError("no room for another process")

    monkeypatch.setattr(subprocess, "Popen", no_room)
    _, callbacks = receive(house, 4 * BATCH)
    while joiner.join_pending():
        pass
    assert joiner._pipeline._companion is None
    assert [house.standing(id).state for id in callbacks] == ["joined"] * len(callbacks)


def test_a_few_callbacks_start_no_process(house: House, joiner: Joiner) -> None:
    for n in range(6):
        house.receive({**RECORD, "id": f"nobody:{n}"}, join=False)
        joiner.join_pending()
    assert joiner._pipeline._companion is None


def test_with_one_processor_all_is_done_here(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "_processors", lambda: 1)
    alone = Joiner(house.database, {"thundersms": house.account}, house.clock, beside=True)
    receive(house, 5 * BATCH)
    while alone.join_pending():
        pass
    assert alone._pipeline._companion is None


def test_it_says_when_the_database_cannot_be_used(house: House, tmp_path: Path) -> None:
    nowhere = Database(f"sqlite:///{tmp_path}/no-such-folder/tracker.db")
    started = Companion(nowhere, {"thundersms": house.account}, prefetch_process.code())
    try:
        started.ask(asked(1))
        wait_until(lambda: started.ready)
        with pytest.raises(StorageUnavailable):
            started.answer()
        started.ask(asked(1))  # and is still there
        with pytest.raises(StorageUnavailable):
            started.answer()
    finally:
        started.close()
        nowhere.close()


def test_another_program_on_the_disk_is_not_spoken_to(house: House) -> None:
    started = Companion(house.database, {"thundersms": house.account}, "the code of yesterday")
    try:
        with pytest.raises(Lost, match="changed on the disk"):
            wait_until(lambda: started.ready)
    finally:
        started.close()


def test_whatever_it_logs_is_logged_here(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers bring it along; the companion's own part is played in this process."""
    ours, theirs = socket.socketpair()
    configured: list[Any] = []
    monkeypatch.setattr(structlog, "configure", lambda **given: configured.append(given))
    life = threading.Thread(target=prefetch_process.main, args=(theirs.detach(),))
    life.start()
    line = Line(ours)
    try:
        # an account without which nothing of it can be read
        line.send((house.database.url.render_as_string(hide_password=False), {"thundersms": house.account}))
        assert line.receive(HANGS_S) == prefetch_process.code()
        [keep] = configured[0]["processors"]
        with pytest.raises(structlog.DropEvent):
            keep(None, "warning", {"event": "something.happened", "callback": "cb_1"})
        line.send(asked(1))
        assert line.receive(HANGS_S).said == [
            ("warning", {"event": "something.happened", "callback": "cb_1"})
        ]
    finally:
        line.close()
        life.join(HANGS_S)
    assert not life.is_alive()


def test_nobody_can_read_secrets_from_its_command_line_or_environment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_ACCOUNTS__THUNDERSMS__ACCESS_TOKEN", "a-token-of-the-account")
    started = Companion(house.database, {"thundersms": house.account}, prefetch_process.code())
    try:
        wait_until(lambda: started.ready)
        seen = b"".join(
            Path(f"/proc/{started._process.pid}/{what}").read_bytes() for what in ("cmdline", "environ")
        )
        assert b"tracker.lifecycle.joining.prefetch_process" in seen
        assert b"a-token-of-the-account" not in seen
        password = house.database.url.password
        assert password is None or str(password).encode() not in seen
    finally:
        started.close()


def test_what_it_is_told_of_an_account_is_no_secret() -> None:
    account = Account(
        name="a", access_token="token", webhook_secrets=("secret",), webhook_token="webhook", bridge="91"
    )
    assert prefetch_process._without_secrets(account).secrets == ()


def test_it_ends_with_the_process_that_started_it_however_that_ends(tmp_path: Path) -> None:
    starts = (
        "import sys, time; from tracker.lifecycle.joining.prefetch_process import Companion, code;"
        "from tracker.store.engine.database import Database;"
        f"c = Companion(Database('sqlite:///{tmp_path}/tracker.db'), {{}}, code());\n"
        "while not c.ready: time.sleep(0.01)\n"
        "print('pid', c._process.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = next(int(line.split()[1]) for line in process.stdout if line.startswith("pid "))
    os.kill(pid, 0)
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(
        lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    )
