"""The command `tracker inbox tail`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from tests.cli.conftest import Cli
from tests.cli.stored_callbacks import callback_body, receive_callbacks


def test_tail_once_shows_the_latest_callbacks(cli: Cli, placed: str) -> None:
    ids = [receive_callbacks(callback_body(id=f"another-{n}"))[0] for n in range(3)]
    out = cli("inbox", "tail", "--once").stdout
    assert [line.split()[0] for line in out.splitlines() if line.startswith("cb_")] == ids
    lines = cli("inbox", "tail", "--once", "--last", "1", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[-1:]
    assert cli("inbox", "tail", "--for", "0.1", "--last", "0").stdout == ""


def test_tail_shows_new_callbacks_until_ctrl_c(cli: Cli, placed: str) -> None:
    command = [sys.executable, "-m", "tracker", "inbox", "tail", "--json"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    [before] = receive_callbacks(callback_body(id="another"))
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["id"] == before
        [id] = receive_callbacks(callback_body())
        document = json.loads(running.stdout.readline())
        assert (document["id"], document["state"], document["call"]) == (id, "joined", placed)
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.communicate()
