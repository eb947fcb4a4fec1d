"""Tests that every documented payload is parsed, or built, as expected."""

from __future__ import annotations

import json

import pytest

from tests.providers.thundersms.expected_payloads import (
    CALLBACKS,
    STATUS_RESPONSES,
    SUBMIT_REQUESTS,
    SUBMIT_RESPONSES,
)
from tests.providers.thundersms.factories import (
    PAYLOADS,
    load_callback,
    load_payload,
    load_response,
    make_account,
    make_command,
    payload_names,
    provider,
)
from tracker.domain.call_reports import (
    CallReport,
    NotACall,
)


def test_every_documented_payload_is_tested() -> None:
    known = {
        *CALLBACKS,
        *SUBMIT_RESPONSES,
        *STATUS_RESPONSES,
        *SUBMIT_REQUESTS,
        *payload_names("verification"),
    }
    assert known == {path.stem for path in PAYLOADS.glob("*.json")}


@pytest.mark.parametrize("name", CALLBACKS)
def test_documented_callback_is_parsed(name: str) -> None:
    assert provider.parse_callback(make_account(), load_callback(name)) == CALLBACKS[name]


@pytest.mark.parametrize("name", [n for n in CALLBACKS if "status" in load_payload(n).get("expect", {})])
def test_documented_callback_has_the_expected_status(name: str) -> None:
    report = CALLBACKS[name]
    assert isinstance(report, CallReport)
    assert report.status == load_payload(name)["expect"]["status"]
    assert report.reason == load_payload(name)["expect"].get("reason")


@pytest.mark.parametrize("name", SUBMIT_RESPONSES)
def test_documented_submit_response_is_parsed(name: str) -> None:
    assert provider.parse_submit_response(make_account(), load_response(name)) == SUBMIT_RESPONSES[name]


@pytest.mark.parametrize("name", STATUS_RESPONSES)
def test_documented_status_response_is_parsed(name: str) -> None:
    submission_id, expected = STATUS_RESPONSES[name]
    assert provider.parse_status_response(make_account(), submission_id, load_response(name)) == expected


@pytest.mark.parametrize("name", SUBMIT_REQUESTS)
def test_submit_request_is_built_as_documented(name: str) -> None:
    settings, wish = SUBMIT_REQUESTS[name]
    documented = load_payload(name)
    request = provider.submit_request(make_account(access_token="TOKEN", **settings), make_command(**wish))
    assert request.url == "https://portal.thundersms.com/api/v2/outgoing/send"
    assert request.method == "POST"
    assert request.headers["Content-Type"] == documented["content_type"]
    for header, value in documented["headers"].items():
        assert request.headers[header] == value
    if documented["content_type"] == "application/json":
        assert json.loads(request.body) == json.loads(documented["body"])
    else:
        assert sorted(request.body.decode().split("&")) == sorted(documented["body"].split("&"))


@pytest.mark.parametrize("name", payload_names("verification"))
def test_documented_challenge_is_parsed(name: str) -> None:
    challenge = provider.parse_webhook_challenge(load_callback(name))
    assert challenge is not None
    assert challenge.challenge == "a234qwe"
    assert challenge.validation_key == "9012XXXX"
    assert challenge.tokens == ("9012XX", "9012XXXX")
    assert provider.presented_secrets(load_callback(name).headers) == (b"1233XXX",)


@pytest.mark.parametrize("name", payload_names("verification"))
def test_documented_challenge_is_not_a_call(name: str) -> None:
    assert provider.parse_callback(make_account(), load_callback(name)) == NotACall(reason="handshake")


@pytest.mark.parametrize("name", payload_names("callback"))
def test_documented_callback_is_no_challenge(name: str) -> None:
    assert provider.parse_webhook_challenge(load_callback(name)) is None
