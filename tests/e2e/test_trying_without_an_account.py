"""What docs/how-to/try-without-account.md says of each fault, played with its own configuration and simulator."""

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

from tests.documents import FENCED, text_of
from tests.processes import Processes, Server, eventually

PAGE = "docs/how-to/try-without-account.md"
#: what the page's configuration holds
API_TOKEN, ACCESS_TOKEN, SECRET = "a-token-of-some-length", "simulated-token", "a-secret-of-some-length"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What came of one call."""

    call: dict[str, Any]
    events: list[dict[str, Any]]
    #: its callbacks in the inbox
    callbacks: list[dict[str, Any]]
    #: requests to send it that the simulator had
    requests: int

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        return [e for e in self.events if e["status"] == self.call["outcome"]]

    @property
    def sources(self) -> list[tuple[str, str]]:
        return [(e["source"], e["matched_by"]) for e in self.outcomes]

    @property
    def statuses(self) -> list[str]:
        return [e["status"] for e in self.events]


def unconfirmed_and_told(seen: Seen) -> bool:
    once = (seen.call["attempts"], seen.requests) == (1, 1)
    return once and "unconfirmed" in seen.statuses and seen.sources == [("callback", "number-and-time")]


#: what each row of the table says
SAYS: dict[str, Callable[[Seen], bool]] = {
    "none": lambda seen: seen.sources == [("callback", "submission-id-without-suffix")],
    "duplicate": lambda seen: len(seen.callbacks) == 2 and len(seen.outcomes) == 1,
    "early": lambda seen: (
        seen.callbacks[0]["received_at"] < seen.call["submissions"][0]["accepted_at"]
        and seen.callbacks[0]["state"] == "joined"
    ),
    "no-id": lambda seen: seen.sources == [("callback", "number-and-time")],
    "never": lambda seen: not seen.callbacks and seen.sources == [("poll", "submission-id")],
    "wrong-zone": lambda seen: [e["reason"] for e in seen.events if e["type"] == "warning"] == ["zone"],
    "hang": unconfirmed_and_told,
    "error-after-accept": unconfirmed_and_told,
    "rate-limit": lambda seen: (
        seen.call["submissions"][0]["status"] == "rejected"
        and "rate-limited" in [e["reason"] for e in seen.events]
        and (seen.call["attempts"], seen.requests) == (2, 2)
        and seen.call["outcome"] not in (None, "rejected")
    ),
    "no-balance": lambda seen: (
        (seen.call["outcome"], seen.call["reason"]) == ("rejected", "insufficient-balance")
    ),
    "broken-json": lambda seen: not seen.callbacks and seen.sources == [("poll", "submission-id")],
}  # fmt: skip


def block_after(heading: str, language: str) -> str:
    """The first block of this language below a heading of the page."""
    below = text_of(PAGE).split(f"{heading}\n", 1)[1]
    found: str = next(body for kind, body in FENCED.findall(below) if kind == language)
    return found


def rows() -> dict[str, str]:
    """The numbers of the table, with their faults."""
    below = text_of(PAGE).split("## Make it misbehave\n", 1)[1]
    return dict(re.findall(r"^\| `(\+\d+)` \| `?([a-z-]+)`? \|", below, re.MULTILINE))


def test_every_row_of_the_table_shows_what_it_says(tmp_path: Path) -> None:
    """The ports are free ones instead of the page's, and the webhook learns its address when the server has one."""
    assert sorted(rows().values()) == sorted(SAYS)
    configuration = block_after("## Piece by piece", "toml")
    account = tomllib.loads(configuration)["accounts"]["thundersms"]
    assert account["allow_to"] == list(rows())
    (tmp_path / "tracker.toml").write_text(configuration, encoding="utf-8")
    [command] = block_after("## Make it misbehave", "sh").replace("\\\n", " ").splitlines()
    flags = shlex.split(re.sub(r"w1=\S+", "w1=http://127.0.0.1:9/", command))
    assert flags[:2] == ["tracker", "simulate"]

    with Processes(tmp_path, "") as processes:
        processes.environ = {k: v for k, v in processes.environ.items() if not k.startswith("TRACKER_")}
        # faster than the page, so that no callback is overtaken by a question on a slow machine
        simulator = processes.simulate(*flags[2:], "--token", ACCESS_TOKEN, "--speed", "60")
        processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__BASE_URL"] = simulator["url"]
        processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__WEBHOOK_TOKEN"] = "a-validation-key"
        server = processes.serve()
        register(simulator["url"], f"{server.url}/callbacks/thundersms")
        with ThreadPoolExecutor(len(rows())) as pool:
            settled = list(pool.map(lambda number: place(number, tmp_path, processes.environ), rows()))
        for (number, fault), call_id in zip(rows().items(), settled, strict=True):
            eventually(
                lambda: SAYS[fault](seen(server, simulator["control"], number, call_id)),  # noqa: B023
                f"{number}, {fault}: {seen(server, simulator['control'], number, call_id)}",
            )
        with server.client(API_TOKEN) as client:
            counts = client.get("/statusz").json()
        assert counts["callbacks"] == {"pending": 0, "orphaned": 0, "unreadable": 1, "quarantined": 0}
        assert (counts["accounts"]["thundersms"]["open_submissions"], counts["unconfirmed_submissions"]) == (
            0,
            0,
        )


def register(provider: str, uri: str) -> None:
    """Tell the simulator where the server listens."""
    response = httpx.put(
        f"{provider}developer/webhooks/w1",
        json={"name": "outcomes", "uri": uri, "secret": SECRET, "token": "a-validation-key"},
        headers={"Authorization": f"Bearer {ACCESS_TOKEN}", "Accept": "application/json"},
        trust_env=False,
    )
    assert response.status_code == 200, response.text


def place(number: str, folder: Path, environ: dict[str, str]) -> str:
    """`tracker call NUMBER --flow 24 --wait`, as the page says; gives the id of the call."""
    command = [sys.executable, "-m", "tracker", "call", number, "--flow", "24", "--wait", "--json"]
    ended = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=110, check=False
    )
    assert ended.stdout, ended.stderr
    call = json.loads(ended.stdout)
    assert call["settled"], (call, ended.stderr)
    found: str = call["id"]
    return found


def seen(server: Server, control: str, number: str, call_id: str) -> Seen:
    with server.client(API_TOKEN) as client:
        sent = httpx.get(f"{control}requests", trust_env=False).json()["data"]
        return Seen(
            call=client.get(f"/api/v1/calls/{call_id}").json(),
            events=client.get(f"/api/v1/calls/{call_id}/timeline", params={"limit": 500}).json()["data"],
            callbacks=client.get("/api/v1/callbacks", params={"call": call_id}).json()["data"],
            requests=sum(
                "outgoing/send" in json.dumps(each) and number[1:] in json.dumps(each) for each in sent
            ),
        )
