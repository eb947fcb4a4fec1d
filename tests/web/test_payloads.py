"""What the provider documents, in through the real URL: each body, after one fresh call, has the consequence that its
file expects; and what we send is what it documents."""

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

PAYLOADS = Path(__file__).parent.parent / "payloads" / "thundersms"
SEED_ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"


def payload(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return loaded


def names(kind: str) -> list[str]:
    return sorted(path.stem for path in PAYLOADS.glob("*.json") if payload(path.stem)["kind"] == kind)


def said_in(documented: dict[str, Any]) -> dict[str, Any]:
    """The fields of a payload, as far as they can be read without the adapter."""
    try:
        fields = json.loads(documented["body"])
    except ValueError:
        fields = {name: values[0] for name, values in parse_qs(documented["query"]).items()}
    return fields if isinstance(fields, dict) else {}


def posted(serving: Serving, documented: dict[str, Any]) -> Any:
    """The payload as the provider would send it; the secret is its own where it has one."""
    return serving.callback(
        documented["body"].encode(),
        f"/callbacks/thundersms?{documented['query']}",
        method=documented["method"],
        headers=documented["headers"],
        secret=None if presented(documented) else SECRET,
    )


def presented(documented: dict[str, Any]) -> str | None:
    """The secret that stands in the document."""
    authorization: str | None = documented["headers"].get("Authorization")
    return authorization.removeprefix("Bearer ") if authorization else None


@pytest.mark.parametrize("name", names("callback"))
def test_a_documented_callback_has_its_consequence(
    sqlite_url: str, provider: RecordingProvider, name: str
) -> None:
    documented = payload(name)
    fields, expect = said_in(documented), documented.get("expect", {})
    id = fields.get("call_id") or fields.get("id")
    provider.sends.append(accepted(id))
    with Serving(sqlite_url, provider.base_url, webhook_secrets=[presented(documented) or SECRET]) as serving:
        wish = {
            "bridge": str(fields.get("bridge", "918068280001")),
            "flow_id": str(fields.get("flow_id", "123")),
        }
        call = serving.place(f"+{fields['to']}" if "to" in fields else NUMBER, **wish)
        answer = posted(serving, documented)
        assert (answer.status_code, answer.content) == (200, b'{"ok":true}')
        kept = eventually(
            lambda: [k for k in serving.kept() if k["state"] != "pending"], "nobody has read it"
        )[0]
        assert kept["request"]["body"] == documented["body"]
        assert kept["request"]["query"] == documented["query"]
        assert kept["state"] == expect.get("state", kept["state"])
        if expect.get("state") == "joined":
            assert kept["call"] == call["id"]
            joined = serving.get(f"/calls/{call['id']}")
            assert joined["settled"]
            assert joined["status"] == joined["outcome"] == expect.get("status", "completed")
            assert joined["reason"] == expect.get("reason")
        else:
            assert kept["reason"] == expect.get("reason", kept["reason"])
            assert serving.get(f"/calls/{call['id']}")["status"] == "queued"


@pytest.mark.parametrize("name", names("verification"))
@pytest.mark.parametrize("token", ["9012XX", "9012XXXX"])
def test_a_documented_verification_is_answered(sqlite_url: str, name: str, token: str) -> None:
    with Serving(sqlite_url, webhook_secrets=["1233XXX"], webhook_token=token) as serving:
        answer = posted(serving, payload(name))
        assert answer.status_code == 200
        assert answer.json() == {"challenge": "a234qwe", "validation_key": "9012XXXX"}
        kept = serving.only_kept()
        assert (kept["state"], kept["reason"]) == ("ignored", "handshake")
        assert token not in kept["request"]["query"] + kept["request"]["body"]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_seeds_requests_are_sent_as_documented(
    serving: Serving, provider: RecordingProvider, number: int
) -> None:
    documented = payload(f"request_seed_{number}")
    answer = payload("api_send_response_old")
    provider.sends.append(Told(body=answer["body"].encode(), headers=answer["headers"]))
    wanted = json.loads(documented["body"])
    fields = {key: value for key, value in wanted.items() if not key.startswith("variables[")}
    variables = {key[len("variables[") : -1]: wanted[key] for key in wanted.keys() - fields.keys()}
    response = serving.api("POST", "/calls", {**fields, **({"variables": variables} if variables else {})})
    assert response.status_code == 201
    (sent,) = provider.sent
    assert (sent.method, sent.path) == ("POST", "/api/v2/outgoing/send")
    assert sent.json() == wanted
    assert sent.headers["Accept"] == documented["headers"]["Accept"]
    assert sent.headers["Content-Type"] == documented["content_type"]
    call = response.json()
    assert (call["status"], call["charges"]) == ("queued", "0.5000")
    assert call["submissions"][0]["submission_id"] == SEED_ID
    assert [c["id"] for c in serving.get("/calls", submission_id=SEED_ID.upper())["data"]] == [call["id"]]
