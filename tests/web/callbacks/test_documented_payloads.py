"""The provider's documented payloads over the real URL.

Each documented callback follows a fresh call and must have the consequence that its file expects. Our requests must be
those that the provider documents.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.lifecycle.house import NUMBER
from tests.processes import SECRET, eventually
from tests.recording_provider import RecordingProvider, Told, accepted
from tests.web.serving import Serving

PAYLOADS = Path(__file__).parents[2] / "payloads" / "thundersms"
SEED_ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"


def load_payload(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return loaded


def names_of(kind: str) -> list[str]:
    return sorted(path.stem for path in PAYLOADS.glob("*.json") if load_payload(path.stem)["kind"] == kind)


def fields_of(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a payload, as far as they can be read without the adapter."""
    try:
        fields = json.loads(payload["body"])
    except ValueError:
        fields = {name: values[0] for name, values in parse_qs(payload["query"]).items()}
    return fields if isinstance(fields, dict) else {}


def secret_of(payload: dict[str, Any]) -> str | None:
    """Return the webhook secret in the documented headers."""
    authorization: str | None = payload["headers"].get("Authorization")
    return authorization.removeprefix("Bearer ") if authorization else None


def post(serving: Serving, payload: dict[str, Any]) -> Any:
    """Send the payload as the provider would, with our secret unless it has one."""
    return serving.callback(
        payload["body"].encode(),
        f"/callbacks/thundersms?{payload['query']}",
        method=payload["method"],
        headers=payload["headers"],
        secret=None if secret_of(payload) else SECRET,
    )


@pytest.mark.parametrize("name", names_of("callback"))
def test_documented_callback_has_expected_consequence(
    sqlite_url: str, provider: RecordingProvider, name: str
) -> None:
    payload = load_payload(name)
    fields, expected = fields_of(payload), payload.get("expect", {})
    provider.sends.append(accepted(fields.get("call_id") or fields.get("id")))
    with Serving(sqlite_url, provider.base_url, webhook_secrets=[secret_of(payload) or SECRET]) as serving:
        wish = {
            "bridge": str(fields.get("bridge", "918068280001")),
            "flow_id": str(fields.get("flow_id", "123")),
        }
        call = serving.place(f"+{fields['to']}" if "to" in fields else NUMBER, **wish)
        response = post(serving, payload)
        assert (response.status_code, response.content) == (200, b'{"ok":true}')
        (stored,) = eventually(
            lambda: [c for c in serving.stored_callbacks() if c["state"] != "pending"], "it is not parsed"
        )
        assert stored["request"]["body"] == payload["body"]
        assert stored["request"]["query"] == payload["query"]
        assert stored["state"] == expected.get("state", stored["state"])
        if expected.get("state") == "joined":
            assert stored["call"] == call["id"]
            joined = serving.get(f"/calls/{call['id']}")
            assert joined["settled"]
            assert joined["status"] == joined["outcome"] == expected.get("status", "completed")
            assert joined["reason"] == expected.get("reason")
        else:
            assert stored["reason"] == expected.get("reason", stored["reason"])
            assert serving.get(f"/calls/{call['id']}")["status"] == "queued"


@pytest.mark.parametrize("name", names_of("verification"))
@pytest.mark.parametrize("token", ["9012XX", "9012XXXX"])
def test_documented_challenge_is_echoed(sqlite_url: str, name: str, token: str) -> None:
    with Serving(sqlite_url, webhook_secrets=["1233XXX"], webhook_token=token) as serving:
        response = post(serving, load_payload(name))
        assert response.status_code == 200
        assert response.json() == {"challenge": "a234qwe", "validation_key": "9012XXXX"}
        stored = serving.only_callback()
        assert (stored["state"], stored["reason"]) == ("ignored", "handshake")
        assert token not in stored["request"]["query"] + stored["request"]["body"]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_documented_request_is_sent(serving: Serving, provider: RecordingProvider, number: int) -> None:
    documented = load_payload(f"request_seed_{number}")
    response = load_payload("api_send_response_old")
    provider.sends.append(Told(body=response["body"].encode(), headers=response["headers"]))
    wanted = json.loads(documented["body"])
    fields = {key: value for key, value in wanted.items() if not key.startswith("variables[")}
    variables = {key[len("variables[") : -1]: wanted[key] for key in wanted.keys() - fields.keys()}
    placed = serving.api("POST", "/calls", {**fields, **({"variables": variables} if variables else {})})
    assert placed.status_code == 201
    (sent,) = provider.sent
    assert (sent.method, sent.path) == ("POST", "/api/v2/outgoing/send")
    assert sent.json() == wanted
    assert sent.headers["Accept"] == documented["headers"]["Accept"]
    assert sent.headers["Content-Type"] == documented["content_type"]
    call = placed.json()
    assert (call["status"], call["charges"]) == ("queued", "0.5000")
    assert call["submissions"][0]["submission_id"] == SEED_ID
    assert [c["id"] for c in serving.get("/calls", submission_id=SEED_ID.upper())["data"]] == [call["id"]]
