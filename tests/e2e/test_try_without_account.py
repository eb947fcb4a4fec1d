"""docs/how-to/try-without-account.md: each fault does what the table says, with the page's own configuration."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.documents import FENCED, text_of
from tests.processes import Processes, Server, eventually

PAGE = "docs/how-to/try-without-account.md"
#: the values in the page's configuration
API_TOKEN, ACCESS_TOKEN, SECRET = "a-token-of-some-length", "simulated-token", "a-secret-of-some-length"

#: Calls that wait at the same time. Each is a process that writes to the one SQLite file, as the server does; with all
#: eleven at once a write waited too long for its turn on a busy machine.
AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class CallFacts:
    """One call with its events, its callbacks in the inbox, and the number of requests that placed it."""

    call: dict[str, Any]
    events: list[dict[str, Any]]
    callbacks: list[dict[str, Any]]
    requests: int

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        """The events that have the status of the outcome."""
        return [e for e in self.events if e["status"] == self.call["outcome"]]

    @property
    def sources(self) -> list[tuple[str, str]]:
        """The sources of the outcomes, and how each was matched."""
        return [(e["source"], e["matched_by"]) for e in self.outcomes]

    @property
    def statuses(self) -> list[str]:
        return [e["status"] for e in self.events]


def is_unconfirmed_then_settled(facts: CallFacts) -> bool:
    is_sent_once = (facts.call["attempts"], facts.requests) == (1, 1)
    return (
        is_sent_once
        and "unconfirmed" in facts.statuses
        and facts.sources == [("callback", "number-and-time")]
    )


#: what each row of the table claims, by the fault
CLAIMS: dict[str, Callable[[CallFacts], bool]] = {
    "none": lambda facts: facts.sources == [("callback", "submission-id-without-suffix")],
    "duplicate": lambda facts: len(facts.callbacks) == 2 and len(facts.outcomes) == 1,
    "early": lambda facts: (
        facts.callbacks[0]["received_at"] < facts.call["submissions"][0]["accepted_at"]
        and facts.callbacks[0]["state"] == "joined"
    ),
    "no-id": lambda facts: facts.sources == [("callback", "number-and-time")],
    "never": lambda facts: not facts.callbacks and facts.sources == [("poll", "submission-id")],
    "wrong-zone": lambda facts: [e["reason"] for e in facts.events if e["type"] == "warning"] == ["zone"],
    "hang": is_unconfirmed_then_settled,
    "error-after-accept": is_unconfirmed_then_settled,
    "rate-limit": lambda facts: (
        facts.call["submissions"][0]["status"] == "rejected"
        and "rate-limited" in [e["reason"] for e in facts.events]
        and (facts.call["attempts"], facts.requests) == (2, 2)
        and facts.call["outcome"] not in (None, "rejected")
    ),
    "no-balance": lambda facts: (
        (facts.call["outcome"], facts.call["reason"]) == ("rejected", "insufficient-balance")
    ),
    "broken-json": lambda facts: not facts.callbacks and facts.sources == [("poll", "submission-id")],
}  # fmt: skip


def block_after(heading: str, language: str) -> str:
    """Return the first block of this language below a heading of the page."""
    below = text_of(PAGE).split(f"{heading}\n", 1)[1]
    body: str = next(body for found, body in FENCED.findall(below) if found == language)
    return body


def table_rows() -> dict[str, str]:
    """Return the faults of the page's table by number."""
    below = text_of(PAGE).split("## Make it misbehave\n", 1)[1]
    return dict(re.findall(r"^\| `(\+\d+)` \| `?([a-z-]+)`? \|", below, re.MULTILINE))


@pytest.mark.timeout(300)  # eleven processes start one after the other
def test_every_row_of_the_table_is_true(tmp_path: Path) -> None:
    """The ports are free ones instead of the page's, so the address of the webhook is registered later."""
    assert sorted(table_rows().values()) == sorted(CLAIMS)
    configuration = block_after("## Piece by piece", "toml")
    account = tomllib.loads(configuration)["accounts"]["thundersms"]
    assert account["allow_to"] == list(table_rows())
    (tmp_path / "tracker.toml").write_text(configuration, encoding="utf-8")
    [command] = block_after("## Make it misbehave", "sh").replace("\\\n", " ").splitlines()
    flags = shlex.split(re.sub(r"w1=\S+", "w1=http://127.0.0.1:9/", command))
    assert flags[:2] == ["tracker", "simulate"]

    with Processes(tmp_path, "") as processes:
        processes.environ = {k: v for k, v in processes.environ.items() if not k.startswith("TRACKER_")}
        # faster than on the page, so that on a slow machine no question to the provider comes before a callback
        simulator = processes.simulate(*flags[2:], "--token", ACCESS_TOKEN, "--speed", "60")
        processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__BASE_URL"] = simulator["url"]
        processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__WEBHOOK_TOKEN"] = "a-validation-key"
        server = processes.serve()
        register_webhook(simulator["url"], f"{server.url}/callbacks/thundersms")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ids = list(pool.map(lambda number: place(number, tmp_path, processes.environ), table_rows()))
        for (number, fault), id in zip(table_rows().items(), ids, strict=True):
            eventually(
                lambda: CLAIMS[fault](facts_of(server, simulator["control"], number, id)),  # noqa: B023
                f"{number}, {fault}: {facts_of(server, simulator['control'], number, id)}",
            )
        with server.client(API_TOKEN) as client:
            status = client.get("/statusz").json()
        assert status["callbacks"] == {"pending": 0, "orphaned": 0, "unreadable": 1, "quarantined": 0}
        assert status["accounts"]["thundersms"]["open_submissions"] == 0
        assert status["unconfirmed_submissions"] == 0


def register_webhook(provider: str, uri: str) -> None:
    """Tell the simulator where the server listens."""
    response = httpx.put(
        f"{provider}developer/webhooks/w1",
        json={"name": "outcomes", "uri": uri, "secret": SECRET, "token": "a-validation-key"},
        headers={"Authorization": f"Bearer {ACCESS_TOKEN}", "Accept": "application/json"},
        trust_env=False,
    )
    assert response.status_code == 200, response.text


def place(number: str, folder: Path, environ: dict[str, str]) -> str:
    """Run the page's `tracker call NUMBER --flow 24 --wait` and return the id of the call."""
    command = [sys.executable, "-m", "tracker", "call", number, "--flow", "24", "--wait", "--json"]
    ended = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=110, check=False
    )
    assert ended.stdout, ended.stderr
    call = json.loads(ended.stdout)
    assert call["settled"], (call, ended.stderr)
    id: str = call["id"]
    return id


def facts_of(server: Server, inspection: str, number: str, call_id: str) -> CallFacts:
    """Read what the server and the simulator know of a call."""
    with server.client(API_TOKEN) as client:
        requests = httpx.get(f"{inspection}requests", trust_env=False).json()["data"]
        return CallFacts(
            call=client.get(f"/api/v1/calls/{call_id}").json(),
            events=client.get(f"/api/v1/calls/{call_id}/timeline", params={"limit": 500}).json()["data"],
            callbacks=client.get("/api/v1/callbacks", params={"call": call_id}).json()["data"],
            requests=sum(
                "outgoing/send" in json.dumps(each) and number[1:] in json.dumps(each) for each in requests
            ),
        )
