"""Promise: answered means stored, also at the end.

After SIGTERM, what was accepted is answered and stored, and then the process ends, whoever holds a connection open.
"""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import sqlalchemy as sa

from tests.burst import Burst
from tests.lifecycle.house import House
from tests.processes import SECRET, Processes, Server, eventually
from tracker.store.engine.database import inbox_path

WAITING = 24


def markers(database_url: str) -> list[str]:
    with closing(House(database_url, "http://127.0.0.1:9/")) as house:
        rows = house.database.read(lambda c: c.scalars(sa.text("select body from inbox")).all())
        return sorted(json.loads(bytes(body))["marker"] for body in rows)


@contextmanager
def held_up(database_url: str) -> Iterator[None]:
    """Nothing can be written meanwhile; reading goes on."""
    if database_url.startswith("sqlite"):
        file = inbox_path(Path(database_url.removeprefix("sqlite:///")))
        with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
    else:
        with psycopg.connect(database_url) as other_session:
            other_session.execute("lock table inbox in exclusive mode")
            yield
            other_session.rollback()


def bad_company(server: Server, leaving: ExitStack) -> None:
    """Connections that say nothing, that stop in the middle of a header, of a body, and that are kept alive."""
    address = (urlsplit(server.url).hostname or "", urlsplit(server.url).port or 0)
    beginnings = (
        b"",
        b"POST /callbacks/thundersms HTT",
        b"POST /callbacks/thundersms HTTP/1.1\r\nHost: x\r\nX-Slow:",
        b"POST /callbacks/thundersms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + SECRET.encode()
        + b"\r\nContent-Length: 100000\r\n\r\nthe beginning",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    for beginning in beginnings * 10:
        connection = leaving.enter_context(socket.create_connection(address))
        connection.sendall(beginning)


def test_under_load_with_idle_and_slow_connections(database_url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, database_url) as processes, ExitStack() as leaving:
        server = processes.serve()
        bad_company(server, leaving)
        with Burst(server.url, lambda n: {"marker": f"{n:06}"}) as burst:
            burst.more(50)
            assert server.terminate() == 0
        assert burst.surprises == []
        assert "Traceback" not in server.output()
    there = markers(database_url)
    assert {f"{n:06}" for n in burst.answered} <= set(there)
    assert len(set(there)) == len(there)


def test_what_waits_for_its_commit_is_answered(database_url: str, tmp_path: Path) -> None:
    """The database is held up, so that callbacks wait for it; the signal comes; then it goes on. Nobody sent anything
    for nothing."""
    answers: dict[str, int] = {}

    def post(url: str, marker: str) -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        connection.request("POST", "/callbacks/thundersms", json.dumps({"marker": marker}), headers)
        answers[marker] = connection.getresponse().status
        connection.close()

    with Processes(tmp_path, database_url) as processes:
        server = processes.serve("--no-worker")
        with held_up(database_url), server.client() as client:
            posting = [threading.Thread(target=post, args=(server.url, f"{n:02}")) for n in range(WAITING)]
            for thread in posting:
                thread.start()
            # one commit is on its way with some of them, the others wait for the next
            eventually(lambda: client.get("/statusz").json()["inbox_waiting"] > 0, "some should wait")
            server.running.terminate()
        for thread in posting:
            thread.join()
        assert server.terminate() == 0
        assert "Traceback" not in server.output()
    assert set(answers.values()) <= {200, 503}
    stored = set(markers(database_url))
    taken = {marker for marker, status in answers.items() if status == 200}
    assert len(answers) == WAITING
    assert len(taken) > WAITING / 2
    assert taken <= stored
