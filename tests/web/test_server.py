"""`tracker serve` as a process: when it refuses to start, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import Processes, eventually


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}")


def refused(processes: Processes, *flags: str) -> str:
    """Start a server that must not start; gives what it says last on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "serve", "--log-format", "json", *flags],
        cwd=processes.folder, env=processes.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_, last = map(json.loads, done.stderr.splitlines())
    assert (last["event"], last["level"]) == ("process.refused", "error")
    return str(last["error"])


def test_a_port_that_is_taken_is_noticed_before_the_database_is_touched(processes: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(processes, "--port", str(port))
    assert (
        said == f"Port {port} on 127.0.0.1 is in use, perhaps by another tracker. "
        "Choose another port with --port or server.port."
    )
    assert not (processes.folder / "tracker.db").exists()


def test_an_account_without_secrets_is_refused(processes: Processes) -> None:
    processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__WEBHOOK_SECRETS"] = "[]"
    assert "accounts.thundersms.allow_unsigned = true" in refused(processes, "--port", "0")
    assert not (processes.folder / "tracker.db").exists()


def test_a_database_of_somebody_else_is_refused(processes: Processes) -> None:
    with sqlite3.connect(processes.folder / "tracker.db") as other:
        other.execute("create table birds (name text)")
    other.close()
    assert "holds tables that are not tracker's (birds)" in refused(processes, "--port", "0")


def test_a_database_of_another_version_is_refused_with_the_command_that_helps(processes: Processes) -> None:
    with processes:
        processes.serve("--no-worker").terminate()
    with sqlite3.connect(processes.folder / "tracker.db") as database:
        database.execute("update alembic_version set version_num = '9999'")
        database.execute("update settings set value = '9999' where name = 'oldest-able-schema'")
    database.close()
    assert "install the version that made it" in refused(processes, "--port", "0")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("flags", [(), ("--no-worker",)])
def test_a_server_ends_cleanly(processes: Processes, sign: signal.Signals, flags: tuple[str, ...]) -> None:
    with processes:
        server = processes.serve(*flags)
        with server.client() as client:
            assert client.get("/readyz").json() == {"ok": True, "problems": []}
            server.running.send_signal(sign)
            assert server.running.wait(60) == 0
    assert [e for e in server.log() if e.get("level") in ("warning", "error")] == []


def test_a_worker_ends_cleanly(processes: Processes) -> None:
    with processes:
        assert processes.worker().terminate() == 0


def test_two_servers_share_one_database(processes: Processes) -> None:
    with processes:
        one, two = processes.serve(), processes.serve("--no-worker")
        with one.client() as here, two.client() as there:
            assert here.get("/statusz").json()["worker_here"] == "running"
            assert there.get("/statusz").json()["worker_here"] is None
            (seen,) = eventually(
                lambda: there.get("/statusz").json()["workers"], "the other's worker is not seen"
            )
            assert seen["id"] == one.log("worker.started")[0]["worker"]


def test_the_start_is_in_the_log_with_masked_settings(processes: Processes) -> None:
    with processes:
        server = processes.serve("--no-worker")
        (started,) = server.log("process.started")
    assert started["settings"]["accounts.thundersms.access_token"] == "***"
    assert processes.environ["TRACKER_SERVER__API_TOKEN"] not in server.output()
