"""Calls go out through a simulated provider with every fault that it has, and come back as callbacks: real processes.

Every call that the tracker reports is compared with the simulator's own record of what it did.
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
FIRST_NUMBER = 918919525201
#: rates; with this seed every fault happens, which the test checks
FAULTS = {
    "duplicate": 0.2, "early": 0.2, "late": 0.15, "out-of-order": 0.2, "no-id": 0.2, "composed-get": 0.15,
    "composed-put": 0.15, "composed-form": 0.15, "wrong-zone": 0.2, "error-after-accept": 0.1, "broken-json": 0.2,
}  # fmt: skip
RATE_LIMIT = 0.15
SEED = 7

#: the status that each of the provider's words means
OUTCOMES = {
    "ANSWER": "completed", "BUSY": "busy", "NOANSWER": "no-answer", "CANCEL": "canceled", "CONGESTION": "failed",
    "CHANUNAVAIL": "failed",
}  # fmt: skip


@pytest.fixture
def server_and_inspection(database_url: str, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """Run a tracker and a simulated provider that know each other; on PostgreSQL with a worker of its own.

    Yield the server and the address of the simulator's inspection routes.
    """
    with Processes(
        tmp_path, database_url, webhook_id="outcomes", webhook_token="a-validation-key"
    ) as processes:
        faults = [f"--{name}={rate}" for name, rate in FAULTS.items()]
        simulator = processes.simulate(
            f"--seed={SEED}", "--speed=60", "--late-by=90", f"--rate-limit={RATE_LIMIT}", *faults,
            # port 9 is "discard": the real address is registered when it is known
            "--webhook=outcomes=http://127.0.0.1:9/", "--webhook-style=composed-json", f"--webhook-secret={SECRET}",
        )  # fmt: skip
        processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__BASE_URL"] = simulator["url"]
        on_sqlite = database_url.startswith("sqlite")
        server = processes.serve(*([] if on_sqlite else ["--no-worker"]))
        if not on_sqlite:
            processes.worker()
        register_webhook(simulator["url"], f"{server.url}/callbacks/thundersms", processes)
        yield server, simulator["control"]


def register_webhook(provider: str, uri: str, processes: Processes) -> None:
    """Tell the provider the address for callbacks, which it verifies by a handshake."""
    token = processes.environ["TRACKER_ACCOUNTS__THUNDERSMS__ACCESS_TOKEN"]
    body = {"name": "outcomes", "uri": uri, "secret": SECRET, "token": "a-validation-key"}
    response = httpx.put(
        f"{provider}developer/webhooks/outcomes", json=body,
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"}, trust_env=False,
    )  # fmt: skip
    assert response.status_code == 200, response.text


def place_all(server: Server) -> dict[str, str]:
    """Place a call to every number, and return the ids of the calls by number."""

    def place(n: int) -> tuple[str, str]:
        with server.client() as client:
            response = client.post("/api/v1/calls", json={"to": f"+{FIRST_NUMBER + n}", "flow_id": "24"})
        assert response.status_code in (201, 202), response.text
        return str(FIRST_NUMBER + n), response.json()["id"]

    with ThreadPoolExecutor(5) as pool:
        return dict(pool.map(place, range(CALLS)))


def provider_calls(inspection: str) -> list[dict[str, Any]]:
    """Wait until the simulator has nothing left to do, and return its record of every call."""

    def get(path: str) -> Any:
        return httpx.get(f"{inspection}{path}", trust_env=False).json()

    eventually(
        lambda: len({call["number"] for call in get("calls")["data"]}) == CALLS, "every call is accepted"
    )
    eventually(lambda: get("idle")["idle"], "every call is over")
    calls: list[dict[str, Any]] = get("calls")["data"]
    return calls


def pages(client: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    """Yield the items of a list, page by page."""
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(path, params={"limit": 20, **({"cursor": cursor} if cursor else {})}).json()
        yield from page["data"]
        cursor = page["next_cursor"]


def comparable(method: str, query: str, body: str) -> tuple[str, str, str]:
    """Return a callback in the form in which sent and received ones are compared."""
    return method, json.dumps(sorted(parse_qsl(query, keep_blank_values=True))), body


def received_callbacks(client: httpx.Client) -> list[tuple[tuple[str, str, str], dict[str, Any]]]:
    """Return the inbox without handshakes: each callback as it came, and its item in the list."""
    received = []
    for item in pages(client, "/api/v1/callbacks"):
        if item["reason"] != "handshake":
            request = client.get(f"/api/v1/callbacks/{item['id']}").json()["request"]
            received.append((comparable(item["method"], request["query"], request["body"]), item))
    return received


def test_every_call_has_the_outcome_that_was_dialled(server_and_inspection: tuple[Server, str]) -> None:
    server, inspection = server_and_inspection
    placed = place_all(server)
    dialled = provider_calls(inspection)
    with server.client() as client:
        eventually(
            lambda: client.get("/statusz").json()["callbacks"]["pending"] == 0, "the inbox is worked off"
        )
        received = received_callbacks(client)
        calls = {call["to"][1:]: call for call in pages(client, "/api/v1/calls")}
        timelines = {
            number: list(pages(client, f"/api/v1/calls/{call['id']}/timeline"))
            for number, call in calls.items()
        }
        refused = httpx.get(f"{inspection}calls", trust_env=False).json()["refused"]

    # every fault happened
    assert refused.get("rate-limit", 0) > 0
    assert {fault for call in dialled for fault in call["faults"]} == FAULTS.keys()
    assert {number: call["id"] for number, call in calls.items()} == placed

    # no number was accepted twice, although some requests were refused and sent again
    assert Counter(call["number"] for call in dialled).most_common(1)[0][1] == 1

    # every callback that was answered 200 is in the inbox, and nothing else is
    posted = [
        (
            call["number"],
            callback,
            comparable(callback["method"], urlsplit(callback["url"]).query, callback["body"]),
        )
        for call in dialled
        for callback in call["callbacks"]
    ]
    assert {callback["status_code"] for _, callback, _ in posted} == {200}
    assert Counter(came for came, _ in received) == Counter(sent for _, _, sent in posted)

    # each is joined to the call that it is about, unless it cannot be read
    number_of = {sent: number for number, _, sent in posted}
    unreadable = {call["number"] for call in dialled if any(is_broken_json(c) for c in call["callbacks"])}
    assert unreadable
    for came, item in received:
        number = number_of[came]
        expected = ("unreadable", None) if number in unreadable else ("joined", placed[number])
        assert (item["state"], item["call"]) == expected, item

    for call in dialled:
        number = call["number"]
        if number in unreadable:
            check_open_call(call, calls[number])
        else:
            check_settled_call(call, calls[number], timelines[number])


def is_broken_json(callback: dict[str, Any]) -> bool:
    """Return whether its body should be JSON and is not."""
    if callback["style"] not in ("default", "composed-json", "composed-put"):
        return False
    try:
        json.loads(callback["body"])
    except ValueError:
        return True
    return False


def check_open_call(dialled: dict[str, Any], call: dict[str, Any]) -> None:
    """Check a call whose callback cannot be read: that decides nothing, and the provider can still be asked."""
    is_accepted = "error-after-accept" not in dialled["faults"]
    check_submissions(dialled, call)
    assert (call["outcome"], call["settled"]) == (None, False)
    assert call["status"] == ("queued" if is_accepted else "unconfirmed")


def check_settled_call(dialled: dict[str, Any], call: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """Check the outcome of a call, how its callback was matched, and its timeline."""
    check_submissions(dialled, call)
    outcome = OUTCOMES[dialled["outcome"]]
    assert (call["outcome"], call["status"]) == (outcome, outcome)
    assert (call["settled"], call["disputed"]) == (True, False)
    assert call["answered"] == (outcome == "completed")
    assert call["duration_s"] == (dialled["dials"][-1]["duration_s"] if outcome == "completed" else None)
    [deciding] = [e for e in events if e["status"] == outcome and e["source"] == "callback"]
    assert deciding["provider_status"] == dialled["outcome"]
    # matched by the id, unless the provider's answer gave us none or the callback carries none
    has_id = any(callback["style"] != "default" for callback in dialled["callbacks"])
    is_accepted = "error-after-accept" not in dialled["faults"]
    assert (deciding["matched_by"] == "number-and-time") == (not is_accepted or not has_id)
    if "wrong-zone" in dialled["faults"]:
        assert any(e["type"] == "warning" for e in events)
    last = call["submissions"][-1]["id"]
    statuses = [e["status"] for e in events if e["status"] and e["submission"] == last]
    assert (statuses[0], statuses[-1]) == ("submitting", outcome)


def check_submissions(dialled: dict[str, Any], call: dict[str, Any]) -> None:
    """Check that only the last submission was accepted, and that it has the provider's id unless that never came."""
    is_accepted = "error-after-accept" not in dialled["faults"]
    assert call["submissions"][-1]["submission_id"] == (dialled["submission_id"] if is_accepted else None)
    assert {s["status"] for s in call["submissions"][:-1]} <= {"rejected"}
