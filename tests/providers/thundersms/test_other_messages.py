"""Tests the messages that are not about a call: challenges, unsubscriptions, and those of other channels."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.thundersms.factories import (
    make_callback,
    parse_callback,
    parse_report,
    provider,
)
from tracker.domain.call_reports import NotACall, WebhookChallenge

ID = "8456bf26-1b6e-4ac1-adb9-2768258f71d0"
RECORD = {"id": ID, "to": "917619360003", "status": "BUSY"}


@pytest.mark.parametrize(
    "body",
    [
        {
            "id": 5,
            "receiver": "917619360003",
            "type": "voice",
            "value": "all",
            "created_at": "2021-04-09 16:27:39",
        },
        {"event": "voice:unsubscription", "payload": {"id": 5, "receiver": "917619360003"}},
        {"event": "voice:unsubscription", "payload": {"id": 5, "status": "BUSY"}},
        {"event": "voice:unsubscription", "id": 5},
    ],
)
def test_unsubscription_is_not_a_call(body: Any) -> None:
    assert parse_callback(body) == NotACall(reason="unsubscription")


@pytest.mark.parametrize(
    "body",
    [
        {"event": "sms:message:out", "payload": RECORD},
        {"event": "sms:message:out", "payload": {"id": ID, "status": "ANSWER", "duration": 3}},
        {"channel": "sms", **RECORD},
        {"id": ID, "mobile": "917619360003", "status": "DELIVRD"},
        {"id": ID, "mobile": "917619360003", "status": "Delivered"},
        {"id": ID, "mobile": "917619360003", "status": "UNDELIV"},
        {"id": ID, "mobile": "917619360003", "status": "REJECTD"},
        {"id": ID, "mobile": "917619360003", "status": "SENT", "sender": "THNDR"},
        {"id": ID, "mobile": "917619360003", "status": "EXPIRED", "units": 1},
        {"id": ID, "mobile": "917619360003", "status": "FAILED", "error_code": "000"},
        f"id={ID}&status=DELIVRD&mobile=917619360003",
    ],
)
def test_sms_report_is_not_a_call(body: Any) -> None:
    assert parse_callback(body) == NotACall(reason="sms-report")


@pytest.mark.parametrize(
    "body",
    [
        RECORD,
        {**RECORD, "message": "hello", "sender": "THNDR"},
        {**RECORD, "status": "SENT"},
        {**RECORD, "status": "EXPIRED"},
        {**RECORD, "status": "FAILED"},
        {**RECORD, "status": "TELEPORTED", "sender": "THNDR", "units": 1},
        {**RECORD, "status": "DELIVERED", "duration": "3"},
        {**RECORD, "status": "DELIVERED", "bridge": 918068280001},
        {**RECORD, "status": "DELIVERED", "channel": "outgoing"},
        {"event": "voice:message:out", "payload": {**RECORD, "status": "DELIVERED", "sender": "x"}},
        {"id": 5, "receiver": "917619360003", "type": "voice", "value": "all", "status": "BUSY"},
    ],
)
def test_call_is_not_taken_for_an_sms_report(body: Any) -> None:
    assert parse_report(body).to == "+917619360003"


def test_message_of_another_channel_is_not_a_call() -> None:
    assert parse_callback({"event": "whatsapp:message:out", "payload": RECORD}) == NotACall(
        reason="other-channel"
    )


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"challenge": "x", "validation_key": "y"}, "token=z"),
        ({"challenge": "x"}, "source=panel"),
        ("", "challenge=x&token=z"),
        ("challenge=x&validation_key=y", ""),
    ],
)
def test_challenge_is_not_a_call(body: Any, query: str) -> None:
    assert parse_callback(body, query=query) == NotACall(reason="handshake")


def test_call_with_a_challenge_field_is_a_call() -> None:
    assert parse_report({**RECORD, "challenge": "x"}).ids == (ID,)


@pytest.mark.parametrize(
    ("body", "query", "content_type", "challenge"),
    [
        (
            {"challenge": "c", "validation_key": "k"},
            "token=t",
            "application/json",
            WebhookChallenge(challenge="c", validation_key="k", tokens=("t", "k")),
        ),
        (
            '{"challenge": "c",}',
            "token=t",
            "text/plain",
            WebhookChallenge(challenge="c", validation_key=None, tokens=("t",)),
        ),
        (
            "challenge=c&validation_key=k",
            "",
            "application/x-www-form-urlencoded",
            WebhookChallenge(challenge="c", validation_key="k", tokens=("k",)),
        ),
        # in a query only `token` is a token; a validation key there is echoed
        (
            "",
            "challenge=c&validation_key=k&token=t",
            "",
            WebhookChallenge(challenge="c", validation_key="k", tokens=("t",)),
        ),
        ({"challenge": 17}, "", "application/json", WebhookChallenge(challenge="17", validation_key=None)),
    ],
)
def test_webhook_challenge_is_parsed(
    body: Any, query: str, content_type: str, challenge: WebhookChallenge
) -> None:
    assert (
        provider.parse_webhook_challenge(make_callback(body, query=query, content_type=content_type))
        == challenge
    )


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ("", ""),
        (RECORD, "token=t"),
        ({"challenge": ""}, ""),
        ({"challenge": None}, ""),
        ({"challenge": {"a": 1}}, ""),
        ({"challenge": "x" * 1001}, ""),
        ('["challenge"]', ""),
        ('{"challenge": "x"', ""),
        ({"note": "challenge"}, ""),
    ],
)
def test_request_without_challenge_is_no_webhook_challenge(body: Any, query: str) -> None:
    assert provider.parse_webhook_challenge(make_callback(body, query=query)) is None


@pytest.mark.parametrize(
    ("headers", "secrets"),
    [
        ((), ()),
        (((b"authorization", b"Bearer abc"),), (b"abc",)),
        (((b"Authorization", b"bEARER  abc "),), (b"abc",)),
        (((b"authorization", b"Bearer a"), (b"AUTHORIZATION", b"Bearer b")), (b"a", b"b")),
        (((b"authorization", b"Bearer a b"),), (b"a b",)),
        (((b"authorization", b"Bearer \xff\xfe"),), (b"\xff\xfe",)),
        (((b"authorization", b"Basic abc"),), ()),
        (((b"authorization", b"abc"),), ()),
        (((b"authorization", b"Bearer"),), ()),
        (((b"authorization", b"Bearer "),), ()),
        (((b"x-authorization", b"Bearer abc"),), ()),
    ],
)
def test_bearer_secrets_are_collected_from_headers(
    headers: tuple[tuple[bytes, bytes], ...], secrets: tuple[bytes, ...]
) -> None:
    assert provider.presented_secrets(headers) == secrets
