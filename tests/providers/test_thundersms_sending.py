"""What we send to ThunderSMS, and what of it is kept as evidence."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.providers.thundersms import CALL, SUBMISSION, account, dial, provider
from tracker.domain.accounts import VariablesEncoding
from tracker.errors import ConfigurationError
from tracker.providers.registry import get_provider

EXTRA = {
    "custom": "{submission}",
    "nested": {"call": "{call}", "list": ["{reference}", 1, True], "odd": "{unknown} {"},
    "to": "911111111111",
    "empty": None,
}


def sent(settings: dict[str, Any] | None = None, **wish: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(
        provider.submit_request(account(**(settings or {})), dial(flow_id="24", **wish)).body
    )
    return body


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    assert sent() == {"bridge": "918068280000", "to": "918919525224", "flow_id": "24"}


def test_what_is_asked_for_is_sent() -> None:
    assert sent(name="campaign", interval=0, webhook_id="w1") == {
        "bridge": "918068280000",
        "to": "918919525224",
        "flow_id": "24",
        "name": "campaign",
        "interval": 0,
        "webhook_id": "w1",
    }


def test_the_calls_webhook_goes_before_the_accounts() -> None:
    assert sent({"webhook_id": "of the account"})["webhook_id"] == "of the account"
    assert sent({"webhook_id": "of the account"}, webhook_id="of the call")["webhook_id"] == "of the call"


def test_variables_are_written_as_the_account_says() -> None:
    variables = {"Name": "Zoë & Co", "otp": "1"}
    assert sent(variables=variables)["variables[Name]"] == "Zoë & Co"
    assert (
        sent({"variables_encoding": VariablesEncoding.json_nested}, variables=variables)["variables"]
        == variables
    )
    assert "variables" not in sent({"variables_encoding": VariablesEncoding.json_nested})
    request = provider.submit_request(
        account(variables_encoding=VariablesEncoding.form),
        dial(flow_id="24", interval=5, variables=variables),
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
    body = sent({"extra": EXTRA}, reference="order {call}")
    assert body["custom"] == SUBMISSION
    # what is put in is not filled again
    assert body["nested"] == {"call": CALL, "list": ["order {call}", 1, True], "odd": "{unknown} {"}
    assert body["to"] == "918919525224"
    assert sent({"extra": {"ref": "[{reference}]"}})["ref"] == "[]"


def test_extra_fields_of_a_form_have_brackets() -> None:
    request = provider.submit_request(
        account(extra=EXTRA, variables_encoding=VariablesEncoding.form), dial(audio="a", reference="r")
    )
    fields = dict(parse_qsl(request.body.decode()))
    assert fields["nested[call]"] == CALL
    assert fields["nested[list][0]"] == "r"
    assert fields["nested[list][2]"] == "1"
    assert fields["to"] == "918919525224"
    assert "empty" not in fields


@pytest.mark.parametrize("encoding", VariablesEncoding)
def test_a_lone_surrogate_does_not_stop_a_dial(encoding: VariablesEncoding) -> None:
    request = provider.submit_request(
        account(variables_encoding=encoding), dial(variables={"Name": "a\ud800\x00"})
    )
    assert "\ufffd".encode() in request.body or b"%EF%BF%BD" in request.body


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8080/api/v2/", "http://127.0.0.1:8080/api/v2"])
def test_the_base_url_is_used_as_it_is_written(base_url: str) -> None:
    used = account(base_url=base_url)
    assert provider.submit_request(used, dial()).url == "http://127.0.0.1:8080/api/v2/outgoing/send"
    assert provider.credentials_request(used).url == "http://127.0.0.1:8080/api/v2/auth/me"
    asked = provider.status_request(used, "70fa87e0:1&x=#")
    assert asked.url == "http://127.0.0.1:8080/api/v2/outgoing/callstatus?id=70fa87e0%3A1%26x%3D%23"
    assert asked.method == "GET"
    assert asked.body == b""


def test_every_request_shows_the_token_in_its_header_only() -> None:
    for request in (
        provider.submit_request(account(), dial()),
        provider.status_request(account(), "x"),
        provider.credentials_request(account()),
    ):
        assert request.headers["Authorization"] == "Bearer secret-token"
        assert request.headers["Accept"] == "application/json"
        assert "secret-token" not in request.url
        assert "secret-token" not in repr(request)


@pytest.mark.parametrize("encoding", VariablesEncoding)
def test_the_evidence_has_no_secret(encoding: VariablesEncoding) -> None:
    used = account(
        variables_encoding=encoding,
        secret_variables=("OTP",),
        webhook_secrets=("hook-secret",),
        extra={"access_token": "secret-token", "note": "by hook-secret"},
    )
    wish = dial(flow_id="24", variables={"otp": "123456", "Name": "YourName"})
    evidence = provider.redacted_request(used, wish)
    assert evidence.headers["Authorization"] == "***"
    for secret in (b"123456", b"secret-token", b"hook-secret"):
        assert secret not in evidence.body
    assert b"YourName" in evidence.body
    assert b"***" in evidence.body or b"%2A%2A%2A" in evidence.body
    assert b"123456" in provider.submit_request(used, wish).body


def test_the_evidence_is_the_request_where_nothing_is_secret() -> None:
    wish = dial(flow_id="24", variables={"Name": "YourName"})
    assert provider.redacted_request(account(), wish).body == provider.submit_request(account(), wish).body


def test_an_unknown_provider_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="one of: thundersms"):
        get_provider("tundersms")
