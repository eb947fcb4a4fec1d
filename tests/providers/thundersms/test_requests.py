"""Tests the requests to ThunderSMS, and their redacted form that is kept as redacted."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.providers.thundersms.factories import CALL, SUBMISSION, make_account, make_command, provider
from tracker.domain.accounts import VariablesEncoding
from tracker.errors import ConfigurationError
from tracker.providers.registry import get_provider

EXTRA = {
    "custom": "{submission}",
    "nested": {"call": "{call}", "list": ["{reference}", 1, True], "odd": "{unknown} {"},
    "to": "911111111111",
    "empty": None,
}


def submit_fields(settings: dict[str, Any] | None = None, **wish: Any) -> dict[str, Any]:
    """Return the fields of the JSON request that submits this wish."""
    body: dict[str, Any] = json.loads(
        provider.submit_request(make_account(**(settings or {})), make_command(flow_id="24", **wish)).body
    )
    return body


def test_submit_request_has_only_the_given_fields() -> None:
    assert submit_fields() == {"bridge": "918068280000", "to": "918919525224", "flow_id": "24"}


def test_submit_request_has_all_given_fields() -> None:
    assert submit_fields(name="campaign", interval=0, webhook_id="w1") == {
        "bridge": "918068280000",
        "to": "918919525224",
        "flow_id": "24",
        "name": "campaign",
        "interval": 0,
        "webhook_id": "w1",
    }


def test_webhook_of_the_call_wins_over_the_account() -> None:
    assert submit_fields({"webhook_id": "of the account"})["webhook_id"] == "of the account"
    assert (
        submit_fields({"webhook_id": "of the account"}, webhook_id="of the call")["webhook_id"]
        == "of the call"
    )


def test_variables_are_encoded_as_configured() -> None:
    variables = {"Name": "Zoë & Co", "otp": "1"}
    assert submit_fields(variables=variables)["variables[Name]"] == "Zoë & Co"
    assert (
        submit_fields({"variables_encoding": VariablesEncoding.json_nested}, variables=variables)["variables"]
        == variables
    )
    assert "variables" not in submit_fields({"variables_encoding": VariablesEncoding.json_nested})
    request = provider.submit_request(
        make_account(variables_encoding=VariablesEncoding.form),
        make_command(flow_id="24", interval=5, variables=variables),
    )
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(request.body.decode())) == {
        "bridge": "918068280000",
        "to": "918919525224",
        "flow_id": "24",
        "interval": "5",
        "variables[Name]": "Zoë & Co",
        "variables[otp]": "1",
    }


def test_extra_fields_are_filled_and_replace_nothing() -> None:
    body = submit_fields({"extra": EXTRA}, reference="order {call}")
    assert body["custom"] == SUBMISSION
    # a filled-in value is not filled again
    assert body["nested"] == {"call": CALL, "list": ["order {call}", 1, True], "odd": "{unknown} {"}
    assert body["to"] == "918919525224"
    assert submit_fields({"extra": {"ref": "[{reference}]"}})["ref"] == "[]"


def test_extra_fields_of_a_form_have_brackets() -> None:
    request = provider.submit_request(
        make_account(extra=EXTRA, variables_encoding=VariablesEncoding.form),
        make_command(audio="a", reference="r"),
    )
    fields = dict(parse_qsl(request.body.decode()))
    assert fields["nested[call]"] == CALL
    assert fields["nested[list][0]"] == "r"
    assert fields["nested[list][2]"] == "1"
    assert fields["to"] == "918919525224"
    assert "empty" not in fields


@pytest.mark.parametrize("encoding", VariablesEncoding)
def test_lone_surrogate_is_replaced_in_a_submit_request(encoding: VariablesEncoding) -> None:
    request = provider.submit_request(
        make_account(variables_encoding=encoding), make_command(variables={"Name": "a\ud800\x00"})
    )
    assert "\ufffd".encode() in request.body or b"%EF%BF%BD" in request.body


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8080/api/v2/", "http://127.0.0.1:8080/api/v2"])
def test_urls_begin_with_the_base_url(base_url: str) -> None:
    account = make_account(base_url=base_url)
    assert (
        provider.submit_request(account, make_command()).url == "http://127.0.0.1:8080/api/v2/outgoing/send"
    )
    assert provider.credentials_request(account).url == "http://127.0.0.1:8080/api/v2/auth/me"
    status = provider.status_request(account, "70fa87e0:1&x=#")
    assert status.url == "http://127.0.0.1:8080/api/v2/outgoing/callstatus?id=70fa87e0%3A1%26x%3D%23"
    assert status.method == "GET"
    assert status.body == b""


def test_token_is_only_in_the_authorization_header() -> None:
    for request in (
        provider.submit_request(make_account(), make_command()),
        provider.status_request(make_account(), "x"),
        provider.credentials_request(make_account()),
    ):
        assert request.headers["Authorization"] == "Bearer secret-token"
        assert request.headers["Accept"] == "application/json"
        assert "secret-token" not in request.url
        assert "secret-token" not in repr(request)


@pytest.mark.parametrize("encoding", VariablesEncoding)
def test_redacted_request_holds_no_secret(encoding: VariablesEncoding) -> None:
    account = make_account(
        variables_encoding=encoding,
        secret_variables=("OTP",),
        webhook_secrets=("hook-secret",),
        extra={"access_token": "secret-token", "note": "by hook-secret"},
    )
    wish = make_command(flow_id="24", variables={"otp": "123456", "Name": "YourName"})
    redacted = provider.redacted_request(account, wish)
    assert redacted.headers["Authorization"] == "***"
    for secret in (b"123456", b"secret-token", b"hook-secret"):
        assert secret not in redacted.body
    assert b"YourName" in redacted.body
    assert b"***" in redacted.body or b"%2A%2A%2A" in redacted.body
    assert b"123456" in provider.submit_request(account, wish).body


def test_redacted_request_is_the_request_without_secrets() -> None:
    wish = make_command(flow_id="24", variables={"Name": "YourName"})
    assert (
        provider.redacted_request(make_account(), wish).body
        == provider.submit_request(make_account(), wish).body
    )


def test_unknown_provider_raises_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="one of: thundersms"):
        get_provider("tundersms")
