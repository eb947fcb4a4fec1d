"""Webhooks with their handshake, and subscriptions."""

from __future__ import annotations

import json
from typing import Any

import httpx
import httpx2
import pytest

from tests.simulator.simulated_provider import TOKEN, Provider, simulated
from tracker.simulator.options import Webhook
from tracker.simulator.thundersms.vocabulary import CallbackStyle

HOOK = {"name": "mine", "uri": "http://127.0.0.1:9/in?x=1", "status": 1, "secret": "s3", "token": "key"}


def echo(request: httpx.Request) -> httpx.Response:
    """Pass the handshake, and answer every callback with 200."""
    body = json.loads(request.content) if request.content else {}
    return httpx.Response(200, json={"challenge": body.get("challenge")})


def post(provider: Provider, path: str, body: dict[str, Any]) -> httpx2.Response:
    """Send a POST request with the token, to a path below the webhook routes."""
    return provider.http.post(f"/api/v2/developer/{path}", json=body, headers=TOKEN)


def test_webhook_is_verified_kept_and_used() -> None:
    with simulated(receiver=echo, webhook_style=CallbackStyle.composed_json) as provider:
        answer = post(provider, "webhooks", HOOK)
        assert answer.json()["message"] == "Created successfully"
        created = answer.json()["data"]
        assert (created["verification_code"], created["status"]) == ("key", "1")
        [handshake] = provider.callbacks
        assert handshake.method == "POST"
        assert dict(handshake.url.params) == {"x": "1", "token": "key"}
        assert handshake.headers["authorization"] == "Bearer s3"
        assert json.loads(handshake.content).keys() == {"validation_key", "challenge"}
        assert json.loads(handshake.content)["validation_key"] == "key"

        provider.send(webhook_id=created["id"])
        callback = provider.wait_until_idle()[-1]
        assert callback.headers["authorization"] == "Bearer s3"
        assert json.loads(callback.content)["id"] in provider.calls()[0]["submission_id"]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"challenge": "another"}),
        httpx.Response(200, text="ok"),
        httpx.Response(200, json=["challenge"]),
        httpx.Response(201, json={"challenge": "?"}),
        httpx.Response(302, headers={"location": "http://127.0.0.1:9/"}),
    ],
)
def test_webhook_is_refused_when_its_handshake_fails(answer: httpx.Response) -> None:
    with simulated(receiver=lambda _: answer) as provider:
        refused = post(provider, "webhooks", HOOK)
        assert refused.status_code == 422
        assert list(refused.json()["errors"]) == ["uri"]
        assert provider.get("developer/webhooks").json()["meta"]["total"] == 1, "only the one from the start"


def test_webhook_on_another_machine_gets_no_handshake() -> None:
    with simulated(receiver=echo) as provider:
        assert post(provider, "webhooks", {**HOOK, "uri": "https://example.com/"}).status_code == 422
        assert post(provider, "webhooks", {}).json()["errors"].keys() == {"name", "uri"}
        assert provider.callbacks == []


def test_webhook_is_shown_changed_and_deleted() -> None:
    with simulated(receiver=echo) as provider:
        id_ = post(provider, "webhooks", HOOK).json()["data"]["id"]
        path = f"/api/v2/developer/webhooks/{id_}"
        assert provider.get(f"developer/webhooks/{id_}").json()["data"]["status"] == 1
        changed = provider.http.put(path, json={"status": 0}, headers=TOKEN).json()["data"]
        assert (changed["status"], changed["uri"]) == (0, HOOK["uri"])
        before = len(provider.callbacks)
        provider.send(webhook_id=id_)
        assert len(provider.wait_until_idle()) == before, "a webhook that is switched off gets nothing"
        assert provider.http.delete(path, headers=TOKEN).status_code == 200
        for again in (provider.http.delete, provider.http.get):
            assert again(path, headers=TOKEN).status_code == 404
        assert provider.http.put(path, json={}, headers=TOKEN).status_code == 404


def test_webhooks_are_listed_in_pages() -> None:
    with simulated(receiver=echo) as provider:
        for _ in range(15):
            assert post(provider, "webhooks", HOOK).status_code == 200
        first = provider.get("developer/webhooks").json()
        assert len(first["data"]) == 15
        assert (first["meta"]["total"], first["meta"]["last_page"]) == (16, 2)
        assert first["links"]["prev"] is None
        second = provider.http.get(first["links"]["next"], headers=TOKEN).json()
        assert len(second["data"]) == 1
        assert second["links"]["next"] is None


def test_subscription_sends_outcomes_until_it_is_deleted() -> None:
    with simulated() as provider:
        body = {"event": "voice:message:out", "identity": "all", "webhook_id": "hook"}
        id_ = post(provider, "subscriptions", body).json()["data"]["id"]
        assert provider.get(f"developer/subscriptions/{id_}").json()["data"]["webhook_id"] == "hook"
        assert provider.get("developer/subscriptions").json()["meta"]["total"] == 1
        provider.send(webhook_id=None)
        assert len(provider.wait_until_idle()) == 1
        path = f"/api/v2/developer/subscriptions/{id_}"
        assert provider.http.delete(path, headers=TOKEN).status_code == 200
        assert provider.http.delete(path, headers=TOKEN).status_code == 404
        provider.send(webhook_id=None)
        assert len(provider.wait_until_idle()) == 1


def test_subscription_needs_a_known_event_and_webhook() -> None:
    with simulated() as provider:
        refused = post(provider, "subscriptions", {"event": "voice:message", "webhook_id": "x"})
        assert refused.status_code == 422
        assert refused.json()["errors"].keys() == {"event", "webhook_id"}


def test_webhook_given_at_the_start_needs_no_handshake() -> None:
    with simulated(webhook=Webhook(id="early", uri="http://127.0.0.1:9/")) as provider:
        assert [row["id"] for row in provider.get("developer/webhooks").json()["data"]] == ["early"]
        assert provider.callbacks == []
