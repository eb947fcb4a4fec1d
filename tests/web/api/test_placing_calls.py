"""`POST /api/v1/calls`: its responses, and what is sent to the provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lifecycle.house import BRIDGE, NUMBER
from tests.processes import SECRET
from tests.recording_provider import RecordingProvider, Told, accepted, error
from tests.web.serving import Serving, is_problem
from tracker.domain.wish.call_wish import WISH_FIELDS

CALL = {"to": NUMBER, "flow_id": "24"}
PROVIDER_ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"


def test_accepted_call_is_201(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(accepted(PROVIDER_ID))
    response = serving.api("POST", "/calls", {**CALL, "reference": "order-42", "metadata": {"a": [1]}})

    assert response.status_code == 201
    call = response.json()
    assert response.headers["location"] == f"/api/v1/calls/{call['id']}"
    assert (call["status"], call["outcome"], call["settled"]) == ("queued", None, False)
    assert (call["to"], call["bridge"], call["flow_id"], call["audio"]) == (NUMBER, BRIDGE, "24", None)
    assert (call["reference"], call["metadata"], call["attempts"]) == ("order-42", {"a": [1]}, 1)
    (submission,) = call["submissions"]
    assert (submission["number"], submission["trigger"]) == (1, "first")
    assert submission["submission_id"] == PROVIDER_ID
    assert serving.get(f"/calls/{call['id']}") == call
    assert len(provider.sent) == 1


def test_call_shows_every_field_of_its_wish(serving: Serving) -> None:
    wish = {
        "account": "thundersms", "to": NUMBER, "bridge": "918068280001", "audio": "https://example.com/hello.mp3",
        "variables": {"Name": "Asha"}, "metadata": {"order": [1, None]}, "name": "spring", "interval": 15,
        "webhook_id": "w-1", "campaign": "spring-2026", "reference": "order-42", "rule": "none",
        "not_before": "2099-01-01T00:00:00Z", "not_after": "2099-01-02T00:00:00.500000Z",
    }  # fmt: skip
    response = serving.api("POST", "/calls", wish)

    call = response.json()
    assert response.status_code == 202
    assert {name: call[name] for name in WISH_FIELDS} == {**wish, "flow_id": None, "policy": None}


def test_refused_call_is_201(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(error(401, "Unauthenticated."))
    response = serving.api("POST", "/calls", CALL)

    call = response.json()
    assert (response.status_code, call["status"], call["reason"]) == (201, "rejected", "bad-credentials")


def test_rate_limited_call_is_202_and_planned_again(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(error(429, "Too many", Retry_After="3600"))
    response = serving.api("POST", "/calls", CALL)

    call = response.json()
    assert (response.status_code, call["status"], call["settled"]) == (202, "rejected", False)
    assert call["next_attempt_at"] is not None


@pytest.mark.parametrize(
    ("account", "fields", "status", "reason"),
    [
        ({"dialling": "off"}, {}, "canceled", "dialling-off"),
        ({"dialling": "allowlist", "allow_to": ["+918867130003"]}, {}, "canceled", "not-allowed"),
        ({}, {"not_after": "2020-01-01T00:00:00Z"}, "canceled", "expired"),
    ],
)
def test_call_refused_by_the_gate_is_201_and_not_sent(
    sqlite_url: str,
    provider: RecordingProvider,
    account: dict[str, Any],
    fields: dict[str, Any],
    status: str,
    reason: str,
) -> None:
    with Serving(sqlite_url, provider.base_url, **account) as serving:
        response = serving.api("POST", "/calls", {**CALL, **fields})

        call = response.json()
        assert (response.status_code, call["status"], call["reason"]) == (201, status, reason)
        assert provider.sent == []


def test_call_that_is_not_due_is_202_at_once(serving: Serving, provider: RecordingProvider) -> None:
    response = serving.api("POST", "/calls", {**CALL, "not_before": "2099-01-01T00:00:00+05:30"})

    call = response.json()
    assert (response.status_code, call["status"], call["settled"]) == (202, "pending", False)
    assert call["next_attempt_at"] == "2098-12-31T18:30:00Z"
    assert provider.sent == []


def test_call_is_202_when_the_provider_is_unreachable(sqlite_url: str) -> None:
    with Serving(sqlite_url, "http://127.0.0.1:9/") as serving:
        response = serving.api("POST", "/calls", CALL)

        assert (response.status_code, response.json()["status"]) == (202, "pending")


def test_call_is_202_when_the_provider_does_not_answer(sqlite_url: str, provider: RecordingProvider) -> None:
    provider.sends.append(Told(hang_s=3))
    with Serving(sqlite_url, provider.base_url, timeout_s=0.5) as serving:
        response = serving.api("POST", "/calls", CALL)

        assert (response.status_code, response.json()["status"]) == (202, "unconfirmed")
        assert len(provider.sent) == 1


def test_every_wrong_field_is_named_at_once(serving: Serving, provider: RecordingProvider) -> None:
    wrong = {
        "to": "91886713XXXX", "bridge": "1", "flow_id": "1", "audio": "2", "interval": 7, "variables": {"1": "a"},
        "metadata": [], "reference": "x" * 201, "not_before": "2026-01-01T00:00:00", "rule": "unknown",
        "policy": "unknown", "sipuri": 1,
    }  # fmt: skip
    response = serving.api("POST", "/calls", wrong)

    assert is_problem(response, 422, *(wrong.keys() - {"flow_id"}))
    assert serving.get("/calls")["data"] == []
    assert provider.seen == []


def test_account_webhook_is_in_the_evidence(sqlite_url: str, provider: RecordingProvider) -> None:
    """The call itself shows only a webhook that it named."""
    with Serving(sqlite_url, provider.base_url, webhook_id="w-of-the-account") as serving:
        usual, own = serving.place(), serving.place("+918867130003", webhook_id="w-of-its-own")

        assert (usual["webhook_id"], own["webhook_id"]) == (None, "w-of-its-own")
        assert [s.json()["webhook_id"] for s in provider.sent] == ["w-of-the-account", "w-of-its-own"]
        [exchange] = serving.get(f"/calls/{usual['id']}/evidence")["exchanges"]
        assert json.loads(exchange["request"]["body"])["webhook_id"] == "w-of-the-account"


def test_account_without_token_is_422(sqlite_url: str, provider: RecordingProvider) -> None:
    with Serving(sqlite_url, provider.base_url) as serving:
        call = serving.place_settled("BUSY")
    with Serving(sqlite_url, provider.base_url, access_token=None) as serving:
        response = serving.api("POST", "/calls", CALL)
        again = serving.api("POST", f"/calls/{call}/retry")

        assert is_problem(response, 422, "account")
        assert is_problem(again, 409)
        assert all("accounts.thundersms.access_token" in r.json()["detail"] for r in (response, again))
        assert len(serving.get("/calls")["data"]) == 1
        assert serving.get(f"/calls/{call}")["settled"] is True
    assert len(provider.sent) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"to": "+918919525224", "flow_id": "24", "to": "+918919525225"}', "to"),
        (b'{"to": "+918919525224", "flow_id": "24", "variables": {"a": "1", "a": "1"}}', "a"),
        (b'{"to": "+918919525224", "flow_id": "24", "metadata": {"a": [{"n": 1, "n": 2}]}}', "n"),
    ],
)
def test_duplicate_json_name_is_422(
    serving: Serving, provider: RecordingProvider, body: bytes, field: str
) -> None:
    """JSON parsers keep one of two values, and the other may be the one that was meant."""
    assert is_problem(serving.api("POST", "/calls", body), 422, field)
    assert provider.sent == []


@pytest.mark.parametrize("value", [b"9" * 5000, b"[" * 900 + b"]" * 900, b"1e-9999"])
def test_extreme_json_value_is_no_server_error(serving: Serving, value: bytes) -> None:
    body = b'{"to": "+918919525224", "flow_id": "24", "metadata": {"a": %s}}' % value
    assert serving.api("POST", "/calls", body).status_code < 500


def test_secret_variables_are_in_no_response(sqlite_url: str, provider: RecordingProvider) -> None:
    with Serving(sqlite_url, provider.base_url, secret_variables=["otp"]) as serving:
        call = serving.place(variables={"otp": "987654", "Name": "Asha"})

        documents = [call, serving.get(f"/calls/{call['id']}/evidence"), serving.get("/calls")]
        assert provider.sent[0].json()["variables[otp]"] == "987654"
        assert all("987654" not in json.dumps(each) for each in documents)
        assert all(SECRET not in json.dumps(each) for each in documents)
        assert call["variables"]["Name"] == "Asha"
