"""`copy_database`: everything arrives, or nothing, and nobody is dialled from both databases."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, callstatus, error
from tracker.errors import Conflict
from tracker.lifecycle.maintenance.copy_database import CopyReport, copy_database, count_all_rows
from tracker.lifecycle.maintenance.prune import Pruner
from tracker.store.calls.secrets import load_secrets
from tracker.store.engine.database import Database, inbox_path
from tracker.store.inbox import log, position
from tracker.store.maintenance import copy_rows
from tracker.store.maintenance.copy_target import CopyTarget
from tracker.store.queue import heartbeats
from tracker.store.read import calls as call_queries
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

NUMBERS = [f"+91886713000{n}" for n in range(10)]
SECRET = {"secret_variables": ("otp",)}


@pytest.fixture
def house(tmp_path: Path, provider: RecordingProvider) -> Iterator[House]:
    """A SQLite database to copy."""
    opened = House(f"sqlite:///{tmp_path / 'original.db'}", provider.base_url, **SECRET)
    yield opened
    opened.close()


@pytest.fixture
def target(database_url: str) -> Iterator[CopyTarget]:
    """An empty database of either kind."""
    with closing(CopyTarget(database_url)) as target:
        yield target


def fill(house: House, provider: RecordingProvider) -> list[str]:
    """Put a row into every table; return the calls: to be sent again, answered, queued, and pending with a secret."""
    provider.sends.append(error(429, "slow", Retry_After="60"))
    awaiting_resend = house.place(NUMBERS[0])
    answered = house.place(
        NUMBERS[1], metadata={"ключ": ["ü", 1.5, None, {"a": True}]}, reference="o'rder\\\t42"
    )
    body = {"id": house.provider_id(answered), "status": "ANSWER", "duration": "12", "note": 'a "quote"\\\n'}
    house.receive(body)
    house.receive(body)
    provider.polls.append(
        callstatus({"id": house.provider_id(answered), "status": "ANSWER", "duration": "12"})
    )
    asyncio.run(house.program.poller.poll(house.submissions(answered)[0].id))
    placed = house.program.placer.place({"to": NUMBERS[2], "flow_id": "24"}, scope="me", key="K-1")
    house.submit(placed.submission)
    pending = house.place(NUMBERS[3], send=False, variables={"otp": "123456"})
    house.receive(bytes(range(256)))
    house.receive({"id": "of-somebody-else", "status": "BUSY"})
    house.receive({"status": "BUSY"}, join=False)

    def insert(c: Any) -> None:
        count = {"name": "unknown-account", "account": "", "count": 3, "last_at": house.clock()}
        c.execute(t.counts.insert().values(**count))
        c.execute(t.inbox_removals.insert().values(position=10_000))

    house.database.write(insert)
    return [awaiting_resend, answered, placed.call, pending]


def copy(house: House, target: CopyTarget, **options: Any) -> CopyReport:
    return copy_database(house.database, target, house.clock, **options)


def contents(database: Database) -> dict[str, list[str]]:
    """All rows of all tables, without those that each database has of its own."""

    def work(c: Any) -> dict[str, list[str]]:
        return {
            table.name: sorted(repr(tuple(row)) for row in c.execute(sa.select(table)))
            for table in t.metadata.sorted_tables
            if table not in (t.workers, t.settings)
        }

    return database.read(work)


def settings(database: Database) -> dict[str, str]:
    query = sa.select(t.settings.c.name, t.settings.c.value)
    return database.read(lambda c: {r.name: r.value for r in c.execute(query)})


def is_empty(target: CopyTarget) -> bool:
    """Whether nothing is left of a copy: no file, and no row."""
    if target.path is not None:
        return not [p for p in target.path.parent.iterdir() if "original" not in p.name]
    return not any(contents(target).values())


def test_copy_has_every_row(house: House, provider: RecordingProvider, target: CopyTarget) -> None:
    calls = fill(house, provider)
    before, settings_before = contents(house.database), settings(house.database)
    total = count_all_rows(house.database)
    seen: list[int] = []
    report = copy(house, target, progress=seen.append)

    assert all(before.values())
    assert contents(target) == contents(house.database) == before
    assert report.rows == {name: len(rows) for name, rows in before.items()} | {
        "settings": len(settings_before.keys() - {"database-id", "oldest-able-schema"})
    }
    assert seen == sorted(seen)
    assert seen[-1] == sum(report.rows.values()) == total
    assert settings(target)["digest-key"] == settings_before["digest-key"]
    for call in calls:
        there = target.read(lambda c: (call_queries.get_call(c, call), call_queries.get_evidence(c, call)))  # noqa: B023
        here = house.database.read(
            lambda c: (call_queries.get_call(c, call), call_queries.get_evidence(c, call))  # noqa: B023
        )
        assert there == here
    assert target.read(lambda c: load_secrets(c, calls[-1])) == {"otp": "123456"}


def test_original_is_paused_and_copy_is_not(house: House, target: CopyTarget) -> None:
    copy(house, target)
    [pause] = house.program.pauser.list_pauses()
    assert (pause.scope, pause.why) == ("all", "copied")
    assert "pause" not in settings(target)
    assert house.program.pauser.resume().lifted == pause


def test_copy_takes_over_the_pauses_of_people(house: House, target: CopyTarget) -> None:
    house.program.pauser.pause()
    house.program.pauser.pause(campaign="spring")
    before = {name: value for name, value in settings(house.database).items() if name.startswith("pause")}
    copy(house, target)
    assert {name: value for name, value in settings(target).items() if name.startswith("pause")} == before
    assert {p.why for p in house.program.pauser.list_pauses()} == {"copied", "operator"}


def test_copied_database_can_be_copied_again(house: House, target: CopyTarget, tmp_path: Path) -> None:
    copy(house, target)
    with closing(CopyTarget(f"sqlite:///{tmp_path / 'second.db'}")) as second:
        copy(house, second)
        assert "pause" not in settings(second)


def test_copy_takes_up_the_work(house: House, provider: RecordingProvider, database_url: str) -> None:
    calls = fill(house, provider)
    with closing(CopyTarget(database_url)) as target:
        copy(house, target)
    moved = House(database_url, provider.base_url, **SECRET)
    moved.clock = house.clock
    again = moved.program.placer.place({"to": NUMBERS[2], "flow_id": "24"}, scope="me", key="K-1")
    assert (again.call, again.is_replayed) == (calls[2], True)
    moved.place(NUMBERS[5], send=False)
    moved.join()
    assert moved.database.read(position.joined_position) == moved.database.inbox.read(log.last_position)
    moved.submit(moved.submissions(calls[3])[0].id)
    assert moved.timeline(calls[3]).status == "queued"
    call = moved.place(NUMBERS[6])
    moved.receive({"id": moved.provider_id(call), "status": "BUSY"})
    assert moved.timeline(call).outcome == "busy"
    moved.close()


def test_copy_gives_no_inbox_position_again(
    house: House, provider: RecordingProvider, database_url: str
) -> None:
    house.receive(b"\xff\x00")
    house.clock.forward(days=500)
    Pruner(house.database, house.clock).prune(timedelta(days=400))
    assert contents(house.database)["inbox"] == []
    with closing(CopyTarget(database_url)) as target:
        copy(house, target)
    moved = House(database_url, provider.base_url)
    call = moved.place(NUMBERS[0])
    moved.receive({"id": moved.provider_id(call), "status": "BUSY"})
    assert moved.timeline(call).outcome == "busy"
    assert moved.database.inbox.read(log.last_position) == 2
    moved.close()


def test_interrupted_copy_leaves_nothing_and_runs_again(
    house: House, provider: RecordingProvider, target: CopyTarget
) -> None:
    fill(house, provider)

    def interrupt(done: int) -> None:
        if done > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(house, target, progress=interrupt)
    assert is_empty(target)
    assert house.program.pauser.list_pauses() == []
    copy(house, target)
    assert contents(target) == contents(house.database)


def test_copy_without_a_row_is_refused(
    house: House, provider: RecordingProvider, target: CopyTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(house, provider)
    read_rows = copy_rows.read_rows

    def read_all_but_one(source: Database, connection: Any, table: sa.Table) -> Iterator[copy_rows.Row]:
        rows = read_rows(source, connection, table)
        if table is t.events:
            next(rows)
        yield from rows

    monkeypatch.setattr(copy_rows, "read_rows", read_all_but_one)
    with pytest.raises(Conflict, match=r"rows in events, and the original has"):
        copy(house, target)
    assert is_empty(target)
    assert house.program.pauser.list_pauses() == []


def test_pause_is_lifted_when_the_copy_cannot_be_completed(
    house: House, provider: RecordingProvider, tmp_path: Path
) -> None:
    fill(house, provider)
    house.program.pauser.pause()
    before = settings(house.database)
    path = tmp_path / "copy.db"
    with closing(CopyTarget(f"sqlite:///{path}")) as target, pytest.raises(Conflict, match="exists already"):
        copy(house, target, progress=lambda _: path.touch())
    assert settings(house.database) == before
    assert path.read_bytes() == b""
    assert not inbox_path(path).exists()


@pytest.mark.parametrize("file", ["records", "inbox"])
def test_copy_is_refused_while_a_file_is_open(house: House, target: CopyTarget, file: str) -> None:
    path = house.database.path if file == "records" else house.database.inbox.path
    assert path is not None
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT * FROM sqlite_master").fetchall()
        with pytest.raises(Conflict, match=f"{path.name} is in use"):
            copy(house, target)
    copy(house, target)


def test_original_cannot_be_read_or_written_meanwhile(house: House, target: CopyTarget) -> None:
    refusals: list[str] = []

    def use(_: int) -> None:
        for path in (house.database.path, house.database.inbox.path):
            with closing(sqlite3.connect(str(path), timeout=0)) as other:
                with pytest.raises(sqlite3.OperationalError) as refused:
                    other.execute("SELECT * FROM sqlite_master").fetchall()
                refusals.append(str(refused.value))

    copy(house, target, progress=use)
    assert set(refusals) == {"database is locked"}


def test_copy_from_postgresql_is_refused_while_a_worker_lives(
    postgres_database: str, provider: RecordingProvider, tmp_path: Path
) -> None:
    house = House(postgres_database, provider.base_url)
    house.database.write(lambda c: heartbeats.record_heartbeat(c, "a-worker", house.clock()))
    with closing(CopyTarget(f"sqlite:///{tmp_path / 'copy.db'}")) as target:
        with pytest.raises(Conflict, match=r"A worker works on the database \(a-worker\)"):
            copy(house, target)
        house.clock.forward(minutes=1)
        copy(house, target)
    house.close()


def test_copy_to_a_database_with_a_worker_is_refused(house: House, postgres_database: str) -> None:
    with closing(CopyTarget(postgres_database)) as target:
        upgrade.upgrade(target)
        target.write(lambda c: heartbeats.record_heartbeat(c, "a-worker", house.clock()))
        with pytest.raises(Conflict, match=r"A worker works on the target \(a-worker\)"):
            copy(house, target)


def test_copy_to_a_database_with_rows_is_refused(
    house: House, provider: RecordingProvider, postgres_database: str
) -> None:
    other = House(postgres_database, provider.base_url)
    other.receive(b"{}")
    before = contents(other.database)
    with closing(CopyTarget(postgres_database)) as target, pytest.raises(Conflict, match="is not empty"):
        copy(house, target)
    assert contents(other.database) == before
    other.close()


def test_copy_to_a_schema_without_rows_is_allowed(
    house: House, provider: RecordingProvider, postgres_database: str
) -> None:
    fill(house, provider)
    with closing(CopyTarget(postgres_database)) as target:
        upgrade.upgrade(target)
        copy(house, target)
        assert contents(target) == contents(house.database)


@pytest.mark.parametrize("name", ["copy.db", "copy-inbox.db"])
def test_copy_to_a_file_that_exists_is_refused(house: House, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    target = CopyTarget(f"sqlite:///{tmp_path / 'copy.db'}")
    with closing(target), pytest.raises(Conflict, match=f"{name} exists already"):
        copy(house, target)
    assert (tmp_path / name).read_text() == "precious"
    assert house.program.pauser.list_pauses() == []


def test_two_copies_to_one_database_do_not_mix(house: House, postgres_database: str, tmp_path: Path) -> None:
    other = House(f"sqlite:///{tmp_path / 'original-2.db'}", "http://127.0.0.1:9/")
    refusals: list[str] = []

    def copy_other(_: int) -> None:
        if not refusals:
            with closing(CopyTarget(postgres_database)) as second, pytest.raises(Conflict) as refused:
                copy(other, second)
            refusals.append(str(refused.value))

    with closing(CopyTarget(postgres_database)) as target:
        copy(house, target, progress=copy_other)
    assert "Another process writes to the target" in refusals[0]
    other.close()


def test_copy_there_and_back_has_every_row(
    house: House, provider: RecordingProvider, postgres_database: str, tmp_path: Path
) -> None:
    fill(house, provider)
    with (
        closing(CopyTarget(postgres_database)) as there,
        closing(CopyTarget(f"sqlite:///{tmp_path / 'back.db'}")) as back,
    ):
        copy(house, there)
        copy_database(there, back, house.clock)
        assert contents(back) == contents(house.database)
        upgrade.prepare(back, create=False)


def test_copy_of_a_newer_schema_is_refused(house: House, target: CopyTarget) -> None:
    house.database.write(
        lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'").close()
    )
    with pytest.raises(Conflict, match="The database has schema 9999, and this version copies schema"):
        copy(house, target)
