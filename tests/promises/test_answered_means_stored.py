"""Promise: answered means stored.

No callback that was answered 2xx is lost, through `kill -9`, a full disk, or a database that goes away. What could not
be stored is answered 503 with `Retry-After`, and when the database is back nobody has to start anything again.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa

from tests.burst import Burst
from tests.lifecycle.house import House
from tests.postgres_server import OwnServer, PostgresServer
from tests.processes import SECRET, Processes, Server, eventually
from tests.recording_provider import RecordingProvider
from tests.small_disk import small_disk
from tests.wire import Wire

NUMBERS = [f"+9189195252{n:02}" for n in range(8)]


def bodies(house: House) -> list[Any]:
    """Every receipt: its body, and what was made of it."""
    query = sa.text(
        "select i.id, i.body, coalesce(b.state, 'pending') as state, b.call_id, b.repeat_of from inbox i"
        " left join callbacks b on b.id = i.id where i.state <> 'quarantined' order by i.id"
    )
    return [(json.loads(row.body), row) for row in house.database.read(lambda c: c.execute(query).all())]


def markers(database_url: str) -> Counter[str]:
    """How often each callback is in the inbox."""
    house = House(database_url, "http://127.0.0.1:9/")
    with closing(house):
        return Counter(body["marker"] for body, _ in bodies(house))


def post(server: Server, marker: str, **more: Any) -> httpx.Response:
    with server.client(SECRET) as client:
        return client.post("/callbacks/thundersms", json={"marker": marker, **more})


@contextmanager
def burst(server: Server, name: str = "burst") -> Iterator[Burst]:
    with Burst(server.url, lambda n: {"marker": f"{name}-{n}"}) as running:
        yield running
    assert not running.surprises


def nothing_is_lost(database_url: str, running: Burst, name: str = "burst") -> None:
    """All that was answered is there, once; what was not may be there, once."""
    there = markers(database_url)
    assert running.answered
    assert {f"{name}-{n}" for n in running.answered} <= there.keys()
    assert set(there.values()) <= {1}


def test_what_was_answered_before_a_kill_is_there_after_it(
    database_url: str, tmp_path: Path, provider: RecordingProvider
) -> None:
    """A burst of callbacks; the server is killed in the middle of it and started again, four times over. Most of them
    are about calls that were placed, one in five is about none of ours."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    with closing(House(database_url, provider.base_url)) as house:
        calls = {house.provider_id(call): call for call in map(house.place, NUMBERS)}
    ids = list(calls)

    def say(life: int, n: int) -> dict[str, Any]:
        id = f"nobody-knows-{n}" if n % 5 == 0 else ids[n % len(ids)]
        return {
            "marker": f"{life}-{n}", "id": id, "to": "", "status": "BUSY",
            "start_at": "2026-01-05 10:00:00", "end_at": "2026-01-05 10:00:09",
        }  # fmt: skip

    answered: list[str] = []
    with Processes(tmp_path, database_url, provider.base_url) as processes:
        for life in range(4):
            server = processes.serve()
            with Burst(server.url, lambda n, life=life: say(life, n)) as running:  # type: ignore[misc]
                running.more(5)
                time.sleep(moments.uniform(0, 0.4))
                server.kill()
            assert not running.surprises
            answered += [f"{life}-{n}" for n in running.answered]
        server = processes.serve()
        with server.client() as client:
            eventually(
                lambda: client.get("/statusz").json()["callbacks"]["pending"] == 0,
                "all that was stored should be read",
            )
            shown = {call: client.get(f"/api/v1/calls/{call}").json() for call in calls.values()}
            timelines = {call: client.get(f"/api/v1/calls/{call}/timeline").json()["data"] for call in shown}
        assert server.terminate() == 0

    with closing(House(database_url, provider.base_url)) as house:
        there = bodies(house)
    stored = Counter(body["marker"] for body, _ in there)
    assert set(answered) <= stored.keys()
    assert set(stored.values()) == {1}
    first: dict[str, str] = {}
    for body, row in there:
        call = calls.get(body["id"])
        assert (row.state, row.call_id) == (("joined", call) if call else ("orphaned", None))
        if call and row.repeat_of is None:
            assert call not in first
            first[call] = row.id
    for _, row in there:
        if row.call_id and row.repeat_of is not None:
            assert row.repeat_of == first[row.call_id]
    for call, callback in first.items():
        assert shown[call]["outcome"] == "busy"
        told = [e for e in timelines[call] if e["source"] == "callback" and e["status"] == "busy"]
        assert [e["callback"] for e in told] == [callback]


def test_an_inbox_that_another_process_has_locked(tmp_path: Path) -> None:
    """SQLite's write lock is held by another process for longer than the provider waits."""
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url) as processes:
        server = processes.serve()
        with burst(server) as running, server.client() as client:
            running.more()
            with closing(sqlite3.connect(tmp_path / "tracker-inbox.db", isolation_level=None)) as other:
                eventually(lambda: _locked(other), "the other process should get the lock")
                eventually(lambda: len(running.refused) >= 6, "callbacks should be refused")
                assert client.get("/readyz").status_code == 503
                assert client.get("/healthz").status_code == 200
                other.execute("ROLLBACK")
            running.more(20)
            eventually(lambda: client.get("/readyz").status_code == 200, "it should be ready again")
        assert server.log("callback.store_failed")
        assert server.terminate() == 0
    nothing_is_lost(url, running)


def test_callbacks_are_stored_while_the_records_are_locked(tmp_path: Path) -> None:
    """Joining waits for the lock; answering does not."""
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url) as processes:
        server = processes.serve()
        with closing(sqlite3.connect(tmp_path / "tracker.db", isolation_level=None)) as other:
            eventually(lambda: _locked(other), "the other process should get the lock")
            with burst(server) as running:
                running.more(50)
            other.execute("ROLLBACK")
        assert running.refused == []
        with server.client() as client:
            eventually(
                lambda: client.get("/statusz").json()["callbacks"]["pending"] == 0, "they should be joined"
            )
        assert server.terminate() == 0
    nothing_is_lost(url, running)


def _locked(other: sqlite3.Connection) -> bool:
    try:
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True


def test_a_full_disk(tmp_path: Path) -> None:
    """Files may not grow beyond a size, as on a full disk; later they may again. Where the log is a file on that disk,
    nothing can be logged either, and still the server goes on."""
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    room = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(most: int) -> None:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, room[1]))

    with Processes(tmp_path, url) as processes:
        server = processes.serve()
        # the write-ahead log is larger than the files may be, and the server's own log is not
        for n in range(4):
            assert post(server, f"before-{n}", padding="x" * 300_000).status_code == 200
        for most in (300_000, 0):
            with burst(server, f"burst-{most}") as running, server.client() as client:
                running.more()
                full(most)
                eventually(lambda: len(running.refused) >= 12, "callbacks should be refused")
                # the write-ahead log may have begun anew, and then a little fits in
                eventually(lambda: client.get("/readyz").status_code == 503, "it should not be ready")
                assert client.get("/healthz").status_code == 200
                full(room[0])
                running.more(20)
                eventually(lambda: client.get("/readyz").status_code == 200, "it should be ready again")
            nothing_is_lost(url, running, f"burst-{most}")
        assert server.log("callback.store_failed")[0]["error"].startswith("The database cannot be used now: ")
        assert server.log("server.readiness_failed")
        assert server.terminate() == 0
    assert {f"before-{n}" for n in range(4)} <= markers(url).keys()


def test_a_small_file_system_that_is_full(tmp_path: Path) -> None:
    """A real one of some megabytes, where the machine lets us mount it; elsewhere a quota has to do."""
    with (
        small_disk(tmp_path / "disk") as disk,
        Processes(tmp_path, f"sqlite:///{disk.folder}/tracker.db") as processes,
    ):
        processes.within = disk.within
        server = processes.serve()
        with burst(server) as running, server.client() as client:
            running.more(20)
            disk.fill(server.pid)
            eventually(lambda: len(running.refused) >= 12, "callbacks should be refused")
            eventually(lambda: client.get("/readyz").status_code == 503, "it should not be ready")
            assert client.get("/healthz").status_code == 200
            disk.free(server.pid)
            running.more(20)
            eventually(lambda: client.get("/readyz").status_code == 200, "it should be ready again")
        told = server.log("callback.store_failed")[0]["error"]
        assert told.startswith("The database cannot be used now: ")
        assert ("disk is full" in told) == disk.is_real
        assert server.log("server.readiness_failed")
        assert server.terminate() == 0
        copy = tmp_path / "copy"
        shutil.copytree(disk.seen_from_here, copy)
    nothing_is_lost(f"sqlite:///{copy / 'tracker.db'}", running)


@pytest.mark.parametrize("moved", ["replaced", "removed"])
def test_a_file_that_is_moved_away(tmp_path: Path, moved: str) -> None:
    """An operator moves the inbox away while it is served, or a copy over it, and puts it back a while later."""
    url = f"sqlite:///{tmp_path / 't.db'}"
    path, aside = tmp_path / "t-inbox.db", tmp_path / "aside.db"
    with Processes(tmp_path, url, "http://127.0.0.1:9/") as processes:
        server = processes.serve()
        with burst(server) as running:
            running.more(20)
            if moved == "replaced":
                aside.hardlink_to(path)
                shutil.copy(path, tmp_path / "copy.db")
                (tmp_path / "copy.db").replace(path)
            else:
                path.rename(aside)
            eventually(lambda: post(server, "refused").status_code == 503, "it should notice")
            with server.client() as client:
                ready = client.get("/readyz")
                assert (ready.status_code, moved in ready.text) == (503, True)
            assert {post(server, f"refused-{n}").status_code for n in range(20)} == {503}
            aside.replace(path)
            running.more(20)
        assert f"{path} was {moved}" in server.output()
        assert server.terminate() == 0
    nothing_is_lost(url, running)


def test_records_that_are_moved_away(tmp_path: Path) -> None:
    """The inbox is still there, so callbacks are stored; they are joined when the records are back."""
    url, path, aside = f"sqlite:///{tmp_path / 't.db'}", tmp_path / "t.db", tmp_path / "aside.db"
    with Processes(tmp_path, url, "http://127.0.0.1:9/") as processes:
        server = processes.serve()
        with burst(server) as running, server.client() as client:
            running.more(20)
            path.rename(aside)
            eventually(lambda: f"{path} was removed" in client.get("/readyz").text, "it should notice")
            assert client.get("/readyz").status_code == 503
            running.more(20)
            aside.replace(path)
            running.more(20)
        assert running.refused == []
        with server.client() as client:
            eventually(
                lambda: client.get("/statusz").json()["callbacks"]["pending"] == 0, "they should be joined"
            )
            assert client.get("/readyz").status_code == 200
        assert server.terminate() == 0
    nothing_is_lost(url, running)


def test_connections_that_the_database_server_ends(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with Processes(tmp_path, postgres_database) as processes:
        server = processes.serve()
        with burst(server) as running, psycopg.connect(postgres_server.url, autocommit=True) as admin:
            for _ in range(10):
                running.more(5)
                admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                    [_name(postgres_database)],
                )
            running.more(20)
        assert server.terminate() == 0
    nothing_is_lost(postgres_database, running)


def test_a_database_server_that_takes_no_writes(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    """As a managed one does whose disk is full, or a standby."""
    name = _name(postgres_database)

    def read_only(word: str) -> None:
        with psycopg.connect(postgres_server.url, autocommit=True) as admin:
            admin.execute(f'alter database "{name}" set default_transaction_read_only = {word}'.encode())
            admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])

    with Processes(tmp_path, postgres_database) as processes:
        server = processes.serve()
        with burst(server) as running, server.client() as client:
            running.more()
            read_only("on")
            eventually(lambda: len(running.refused) >= 12, "callbacks should be refused")
            eventually(lambda: client.get("/readyz").status_code == 503, "it should not be ready")
            read_only("off")
            running.more(20)
            eventually(lambda: client.get("/readyz").status_code == 200, "it should be ready again")
        assert server.terminate() == 0
    nothing_is_lost(postgres_database, running)


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    """A server that a test may crash."""
    server = OwnServer()
    yield server
    server.stop()


def test_a_database_server_that_crashes(own_server: OwnServer, tmp_path: Path) -> None:
    """One of its processes is killed; it throws all its memory away and recovers from its log. It is configured for
    speed (`synchronous_commit=off`): what we have answered it has written all the same."""
    url = own_server.create_database()
    with Processes(tmp_path, url) as processes:
        server = processes.serve()
        with burst(server) as running:
            for _ in range(2):
                running.more(20)
                with psycopg.connect(own_server.url) as admin:
                    backends = admin.execute(
                        "select pid from pg_stat_activity where datname = %s", [_name(url)]
                    ).fetchall()
                os.kill(backends[0][0], signal.SIGKILL)
                running.more(20)
        assert server.terminate() == 0
    eventually(lambda: _answers(url), "the database server should be up")
    nothing_is_lost(url, running)


@pytest.mark.parametrize("trouble", ["cut", "silence"])
def test_a_database_server_that_is_out_of_reach(postgres_database: str, tmp_path: Path, trouble: str) -> None:
    """It refuses connections, as one that was stopped; or nothing comes from it, as from behind a broken network."""
    with Wire(postgres_database) as wire, Processes(tmp_path, wire.url) as processes:
        begin: dict[str, Callable[[], None]] = {"cut": wire.cut, "silence": wire.silence}
        end: dict[str, Callable[[], None]] = {"cut": wire.mend, "silence": wire.speak}
        server = processes.serve()
        with burst(server) as running, server.client() as client:
            running.more()
            begin[trouble]()
            eventually(lambda: len(running.refused) >= 6, "callbacks should be refused")
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
            end[trouble]()
            running.more(20)
            eventually(lambda: client.get("/readyz").status_code == 200, "it should be ready again")
        assert server.terminate() == 0
    nothing_is_lost(postgres_database, running)


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_database_server_that_vanished_without_a_word(postgres_database: str) -> None:
    """Nothing ever comes back from a machine that died. The kernel would try for a quarter of an hour, and all that
    time nothing could be stored; so it is told to give up sooner."""
    with closing(House(postgres_database, "http://127.0.0.1:9/")) as house:

        def options(c: sa.Connection) -> tuple[int, int]:
            driver: Any = c.connection.driver_connection
            with socket.socket(fileno=os.dup(driver.fileno())) as end:
                return (
                    end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                )

        assert house.database.read(options) == (1, 10_000)
