"""`tracker serve` as a process: when it refuses to start, and how it exits."""

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
from tests.web.raw_http import warnings_of


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}")


def start_error(processes: Processes, *flags: str) -> str:
    """Start a server that must refuse to start, and return the error that it logs last."""
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "serve", "--log-format", "json", *flags],
        cwd=processes.folder, env=processes.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_, last = map(json.loads, done.stderr.splitlines())
    assert (last["event"], last["level"]) == ("process.refused", "error")
    return str(last["error"])


def test_port_in_use_is_refused_before_database_is_created(processes: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = start_error(processes, "--port", str(port))
    assert error == (
        f"Port {port} on 127.0.0.1 is in use, perhaps by another tracker. "
        "Choose another port with --port or server.port."
    )
    assert not (processes.folder / "tracker.db").exists()


def test_account_without_secrets_is_refused(processes: Processes) -> None:
    processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__WEBHOOK_SECRETS"] = "[]"
    assert "accounts.thundersms.allow_unsigned = true" in start_error(processes, "--port", "0")
    assert not (processes.folder / "tracker.db").exists()


def test_database_of_another_program_is_refused(processes: Processes) -> None:
    with sqlite3.connect(processes.folder / "tracker.db") as database:
        database.execute("create table birds (name text)")
    database.close()
    assert "has tables that are not tracker's (birds)" in start_error(processes, "--port", "0")


def test_database_of_a_newer_version_is_refused(processes: Processes) -> None:
    with processes:
        processes.serve("--no-worker").terminate()
    with sqlite3.connect(processes.folder / "tracker.db") as database:
        database.execute("update alembic_version set version_num = '9999'")
        database.execute("update settings set value = '9999' where name = 'oldest-able-schema'")
    database.close()
    assert "older than the database" in start_error(processes, "--port", "0")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("flags", [(), ("--no-worker",)])
def test_server_exits_with_0_after_signal(
    processes: Processes, sent: signal.Signals, flags: tuple[str, ...]
) -> None:
    with processes:
        server = processes.serve(*flags)
        with server.client() as client:
            assert client.get("/readyz").json() == {"ok": True, "problems": []}
            server.running.send_signal(sent)
            assert server.running.wait(60) == 0
    assert warnings_of(server) == []


def test_worker_exits_with_0_after_sigterm(processes: Processes) -> None:
    with processes:
        assert processes.worker().terminate() == 0


def test_two_servers_share_one_database_on_postgresql(tmp_path: Path, postgres_database: str) -> None:
    with Processes(tmp_path, postgres_database) as processes:
        one, two = processes.serve(), processes.serve("--no-worker")
        with one.client() as first, two.client() as second:
            assert first.get("/statusz").json()["worker_here"] == "running"
            assert second.get("/statusz").json()["worker_here"] is None
            (worker,) = eventually(
                lambda: second.get("/statusz").json()["workers"], "the other's worker is not listed"
            )
            assert worker["id"] == one.log("worker.started")[0]["worker"]


def test_second_server_on_one_sqlite_file_is_refused(processes: Processes) -> None:
    with processes:
        first = processes.serve()
        error = start_error(processes, "--port", "0")
        assert (
            f"serve` (process {first.pid}) stores callbacks in {processes.folder / 'tracker-inbox.db'}"
            in error
        )
        assert "Stop it first, or use PostgreSQL" in error
        with first.client() as client:
            assert client.get("/readyz").status_code == 200


def test_killed_server_leaves_the_inbox_to_the_next(processes: Processes) -> None:
    with processes:
        processes.serve().kill()
        assert processes.serve().terminate() == 0


def test_start_is_logged_with_masked_settings(processes: Processes) -> None:
    with processes:
        server = processes.serve("--no-worker")
        (started,) = server.log("process.started")
    assert started["settings"]["accounts.thundersms.access_token"] == "***"
    assert processes.environ["TRACKER_SERVER__API_TOKEN"] not in server.output()
