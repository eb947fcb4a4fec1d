"""Commands that talk to a real `tracker serve`: doctor and send-sample."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.cli.conftest import NUMBER, Cli, simulated


@pytest.fixture
def port(cli: Cli) -> Iterator[int]:
    """Run a server with a simulated provider, and return its port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free: int = taken.getsockname()[1]
    with simulated("--token", "a-token-of-the-account") as base_url:
        cli.configure(base_url, port=free)
        file = cli.folder / "tracker.toml"
        public = f'[server]\npublic_url = "http://127.0.0.1:{free}"\n'
        file.write_text(file.read_text().replace("[server]\n", public))
        file.chmod(0o600)
        server = subprocess.Popen([sys.executable, "-m", "tracker", "serve", "--log-level", "error"])
        try:
            while server.poll() is None and not answers(free):
                time.sleep(0.05)
            yield free
        finally:
            server.terminate()
            server.wait(30)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def test_doctor_and_samples_work_beside_a_server(cli: Cli, port: int) -> None:
    document = cli.json("doctor")
    assert {c["state"] for c in document["checks"]} == {"ok"}
    call = cli.json("call", NUMBER, "--flow", "24")
    refused = cli("inbox", "send-sample", "busy", "--to", NUMBER)
    assert refused.exit_code == 1
    assert call["id"] in refused.stderr
    assert cli("inbox", "send-sample", "busy").exit_code == 0
    assert cli.json("inbox", "send-sample", "busy", "--to", NUMBER, "--force")["status"] == 200
    watched = cli("show", call["id"], "--watch", "--no-ask")
    assert "busy" in watched.stdout
    assert "matched by number-and-time" in " ".join(watched.stdout.split())


def test_composed_sample_is_joined_by_its_id(cli: Cli, port: int) -> None:
    call = cli.json("call", NUMBER, "--flow", "24")
    id = call["submissions"][0]["submission_id"]
    assert cli("inbox", "send-sample", "answer", "--id", id).exit_code == 1
    assert cli("inbox", "send-sample", "answer", "--id", id, "--public", "--force").exit_code == 0
    cli("show", call["id"], "--watch", "--no-ask")
    settled = cli.json("show", id)
    assert (settled["status"], settled["duration_s"]) == ("completed", 23)
    assert cli.json("status")["ok"] is True
