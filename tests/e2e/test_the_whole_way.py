"""The whole way, with real processes: calls go out through a simulated provider that misbehaves in every way it knows,
and what tracker tells of each call is held against the simulator's own record of what it did.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.processes import SECRET, Processes, Server, eventually

CALLS = 25
FIRST = 918919525201
#: rates; with this seed every fault happens (the test says so)
FAULTS = {
    "duplicate": 0.2, "early": 0.2, "late": 0.15, "out-of-order": 0.2, "no-id": 0.2, "composed-get": 0.15,
    "composed-put": 0.15, "composed-form": 0.15, "wrong-zone": 0.2, "error-after-accept": 0.1, "broken-json": 0.2,
}  # fmt: skip
RATE_LIMIT = 0.15
SEED = 7

#: what the provider's words mean
OUTCOMES = {
    "ANSWER": "completed", "BUSY": "busy", "NOANSWER": "no-answer", "CANCEL": "canceled", "CONGESTION": "failed",
    "CHANUNAVAIL": "failed",
}  # fmt: skip


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A tracker and a provider that know each other; on PostgreSQL the work is done by a process of its own. Gives the
    server, and where the simulator tells what it did."""
    with Processes(
        tmp_path, database_url, webhook_id="outcomes", webhook_token="a-validation-key"
    ) as processes:
        faults = [f"--{name}={rate}" for name, rate in FAULTS.items()]
        simulator = processes.simulate(
            f"--seed={SEED}", "--speed=60", "--late-by=90", f"--rate-limit={RATE_LIMIT}", *faults,
            # port 9 is "discard": the address is told when it is known
            "--webhook=outcomes=http://127.0.0.1:9/", "--webhook-style=composed-json", f"--webhook-secret={SECRET}",
        )  # fmt: skip
        processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__BASE_URL"] = simulator["url"]
        on_sqlite = database_url.startswith("sqlite")
        server = processes.serve(*([] if on_sqlite else ["--no-worker"]))
        if not on_sqlite:
            processes.worker()
        register(simulator["url"], f"{server.url}/callbacks/thundersms", processes)
        yield server, simulator["control"]


def register(provider: str, uri: str, processes: Processes) -> None:
    """Tell the provider where callbacks go; it verifies the address by a handshake."""
    token = processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__ACCESS_TOKEN"]
    body = {"name": "outcomes", "uri": uri, "secret": SECRET, "token": "a-validation-key"}
    response = httpx.put(
        f"{provider}developer/webhooks/outcomes", json=body,
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"}, trust_env=False,
    )  # fmt: skip
    assert response.status_code == 200, response.text


def place_all(server: Server) -> dict[str, str]:
    """By number: the id of the call."""

    def place(n: int) -> tuple[str, str]:
        with server.client() as client:
            response = client.post("/api/v1/calls", json={"to": f"+{FIRST + n}", "flow_id": "24"})
        assert response.status_code in (201, 202), response.text
        return str(FIRST + n), response.json()["id"]

    with ThreadPoolExecutor(5) as pool:
        return dict(pool.map(place, range(CALLS)))


def story_of(control: str) -> list[dict[str, Any]]:
    """What the simulator did, once it has nothing left to do."""

    def ask(what: str) -> Any:
        return httpx.get(f"{control}{what}", trust_env=False).json()

    eventually(
        lambda: len({c["number"] for c in ask("calls")["data"]}) == CALLS, "every call should be placed"
    )
    eventually(lambda: ask("idle")["idle"], "every call should be over")
    told: list[dict[str, Any]] = ask("calls")["data"]
    return told


def pages(client: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(path, params={"limit": 20, **({"cursor": cursor} if cursor else {})}).json()
        yield from page["data"]
        cursor = page["next_cursor"]


def essence(method: str, query: str, body: str) -> tuple[str, str, str]:
    """One callback, to be compared with what was received."""
    return method, json.dumps(sorted(parse_qsl(query, keep_blank_values=True))), body


def received(client: httpx.Client) -> dict[str, tuple[tuple[str, str, str], dict[str, Any]]]:
    """The inbox by id: each callback as it came, and what was made of it."""
    found = {}
    for item in pages(client, "/api/v1/callbacks"):
        if item["reason"] == "handshake":
            continue
        request = client.get(f"/api/v1/callbacks/{item['id']}").json()["request"]
        found[item["id"]] = (essence(item["method"], request["query"], request["body"]), item)
    return found


def test_every_call_has_the_outcome_that_the_provider_dialled(house: tuple[Server, str]) -> None:
    server, control = house
    placed = place_all(server)
    story = story_of(control)
    with server.client() as client:
        eventually(
            lambda: client.get("/statusz").json()["callbacks"]["pending"] == 0, "the inbox should be read"
        )
        inbox = received(client)
        calls = {call["to"][1:]: call for call in pages(client, "/api/v1/calls")}
        timelines = {
            number: list(pages(client, f"/api/v1/calls/{call['id']}/timeline"))
            for number, call in calls.items()
        }
        refused = httpx.get(f"{control}calls", trust_env=False).json()["refused"]

    # all of it happened
    assert refused.get("rate-limit", 0) > 0
    assert {fault for told in story for fault in told["faults"]} == FAULTS.keys()
    assert {number: call["id"] for number, call in calls.items()} == placed

    # no number was accepted twice, although some were refused and sent again
    assert Counter(told["number"] for told in story).most_common(1)[0][1] == 1

    # every callback that was answered 200 is in the inbox, and nothing else is
    posted = [
        (told["number"], each, essence(each["method"], urlsplit(each["url"]).query, each["body"]))
        for told in story
        for each in told["callbacks"]
    ]
    assert {each["status_code"] for _, each, _ in posted} == {200}
    assert Counter(seen for seen, _ in inbox.values()) == Counter(sent for _, _, sent in posted)

    # each is joined to the call that it is about, unless it cannot be read
    number_of = {sent: number for number, _, sent in posted}
    broken = {told["number"] for told in story if any(_is_broken(each) for each in told["callbacks"])}
    assert broken
    for seen, item in inbox.values():
        number = number_of[seen]
        expected = ("unreadable", None) if number in broken else ("joined", placed[number])
        assert (item["state"], item["call"]) == expected, item

    for told in story:
        _as_the_provider_tells_it(
            told, calls[told["number"]], timelines[told["number"]], told["number"] in broken
        )


def _is_broken(callback: dict[str, Any]) -> bool:
    """Whether its body is no JSON although it should be."""
    if callback["style"] not in ("default", "composed-json", "composed-put"):
        return False
    try:
        json.loads(callback["body"])
    except ValueError:
        return True
    return False


def _as_the_provider_tells_it(
    told: dict[str, Any], call: dict[str, Any], events: list[dict[str, Any]], broken: bool
) -> None:
    faults = set(told["faults"])
    last = call["submissions"][-1]
    accepted = "error-after-accept" not in faults
    assert last["submission_id"] == (told["submission_id"] if accepted else None)
    assert {s["status"] for s in call["submissions"][:-1]} <= {"rejected"}
    if broken:
        # what cannot be read decides nothing; it is kept, and the provider can still be asked
        assert (call["outcome"], call["settled"]) == (None, False)
        assert call["status"] == ("queued" if accepted else "unconfirmed")
        return
    outcome = OUTCOMES[told["outcome"]]
    assert (call["outcome"], call["status"], call["settled"], call["disputed"]) == (
        outcome,
        outcome,
        True,
        False,
    )
    assert call["answered"] == (outcome == "completed")
    deciding = [e for e in events if e["status"] == outcome and e["source"] == "callback"]
    assert [e["provider_status"] for e in deciding] == [told["outcome"]]
    matched = deciding[0]["matched_by"]
    # by its id where it has one that we were told
    assert (matched == "number-and-time") == (not accepted or _without_id(told["callbacks"]))
    warned = any(e["type"] == "warning" for e in events)
    if "wrong-zone" in faults:
        assert warned
    assert call["duration_s"] == (told["dials"][-1]["duration_s"] if outcome == "completed" else None)
    stages = [e["status"] for e in events if e["status"] and e["submission"] == last["id"]]
    assert stages[0] == "submitting"
    assert stages[-1] == outcome


def _without_id(callbacks: list[dict[str, Any]]) -> bool:
    return all(each["style"] == "default" for each in callbacks)
