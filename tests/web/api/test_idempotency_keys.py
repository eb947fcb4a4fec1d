"""The header `Idempotency-Key` of placed calls and of retries."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.lifecycle.house import NUMBER
from tests.processes import eventually
from tests.recording_provider import RecordingProvider, Told, accepted
from tests.web.serving import Serving, is_problem

CALL = {"to": NUMBER, "flow_id": "24"}
PROVIDER_ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"


def place_with_key(serving: Serving, key: str, body: Any = None) -> Any:
    """Return the response to placing a call with an Idempotency-Key."""
    return serving.api("POST", "/calls", CALL if body is None else body, headers={"Idempotency-Key": key})


def retry_with_key(serving: Serving, call: str, key: str, body: Any = None) -> Any:
    """Return the response to a retry with an Idempotency-Key."""
    return serving.api("POST", f"/calls/{call}/retry", body, headers={"Idempotency-Key": key})


def test_repeated_key_returns_the_same_call(serving: Serving, provider: RecordingProvider) -> None:
    first = place_with_key(serving, "k1")
    again = place_with_key(serving, "k1", json.dumps(dict(reversed(CALL.items())), indent=2).encode())

    assert (first.status_code, again.status_code) == (201, 200)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    assert len(provider.sent) == 1


def test_repeated_key_returns_the_present_state(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(accepted(PROVIDER_ID))
    call = place_with_key(serving, "k1").json()["id"]
    serving.callback({"id": PROVIDER_ID, "status": "BUSY"})
    serving.settled(call)

    again = place_with_key(serving, "k1")
    assert (again.status_code, again.json()["status"]) == (200, "busy")


def test_repeated_key_does_not_wait_for_the_first_request(
    serving: Serving, provider: RecordingProvider
) -> None:
    provider.sends.append(Told(**{**vars(accepted()), "hang_s": 1.0}))
    answers: list[Any] = []
    first = threading.Thread(target=lambda: answers.append(place_with_key(serving, "k1")))
    first.start()
    eventually(lambda: provider.sent, "nothing was sent")
    again = place_with_key(serving, "k1")

    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json()["status"] == "submitting"
    first.join()
    assert (answers[0].status_code, answers[0].json()["id"]) == (201, again.json()["id"])
    assert len(provider.sent) == 1


def test_key_with_another_body_is_409(serving: Serving, provider: RecordingProvider) -> None:
    place_with_key(serving, "k1")
    assert is_problem(place_with_key(serving, "k1", {**CALL, "flow_id": "25"}), 409)
    assert len(provider.sent) == 1


def test_key_of_a_422_can_be_used_again(serving: Serving) -> None:
    assert place_with_key(serving, "k1", {"to": "1"}).status_code == 422
    assert place_with_key(serving, "k1").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\xe9", "a\tb"])
def test_malformed_key_is_422(serving: Serving, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    headers.append((b"authorization", b"Bearer the-api-token-of-the-tests"))
    response = serving.client.post("/api/v1/calls", content=json.dumps(CALL).encode(), headers=headers)

    assert is_problem(response, 422, "Idempotency-Key")


def test_repeated_key_of_a_retry_dials_once(serving: Serving, provider: RecordingProvider) -> None:
    """A client that lost the response may repeat the retry when the second attempt is over already."""
    call = serving.place_settled("BUSY")
    first = retry_with_key(serving, call, "r1", {})
    again = retry_with_key(serving, call, "r1")

    assert (first.status_code, again.status_code) == (201, 200)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    serving.callback({"id": first.json()["submission_id"], "status": "NOANSWER"})
    serving.settled(call)
    later = retry_with_key(serving, call, "r1")
    assert (later.status_code, later.json()["id"]) == (200, first.json()["id"])
    assert (later.json()["status"], later.json()["number"]) == ("no-answer", 2)
    assert len(provider.sent) == 2
    assert retry_with_key(serving, call, "r2").json()["number"] == 3
    assert retry_with_key(serving, call, "r1").json()["number"] == 2


def test_key_stands_for_one_request(serving: Serving, provider: RecordingProvider) -> None:
    call, other = (
        serving.place_settled("BUSY"),
        serving.place_settled("BUSY", to="+918867130003"),
    )
    placed = place_with_key(serving, "k1").json()
    assert retry_with_key(serving, call, "r1").status_code == 201

    assert is_problem(retry_with_key(serving, call, "r1", {"force": True}), 409)
    assert is_problem(retry_with_key(serving, other, "r1"), 409)
    assert is_problem(retry_with_key(serving, placed["id"], "k1"), 409)
    assert is_problem(place_with_key(serving, "r1"), 409)
    assert len(provider.sent) == 4


def test_key_of_a_refused_retry_can_be_used_again(serving: Serving, provider: RecordingProvider) -> None:
    call = serving.place()
    assert is_problem(retry_with_key(serving, call["id"], "r1"), 409)
    serving.callback({"id": call["submissions"][0]["submission_id"], "status": "BUSY"})
    serving.settled(call["id"])

    assert retry_with_key(serving, call["id"], "r1").status_code == 201
    assert is_problem(retry_with_key(serving, call["id"], "r 1"), 422, "Idempotency-Key")
    assert len(provider.sent) == 2
