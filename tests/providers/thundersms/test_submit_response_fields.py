"""Tests the message, the delay and the time of acceptance in the result of a submission."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.providers.thundersms.factories import make_account, make_response, provider
from tracker.domain.call_reports import SubmitResult, SubmitResultKind
from tracker.domain.calls import Reason
from tracker.providers.base import ExchangeFailure, HttpResponse


def parse(result: HttpResponse | ExchangeFailure) -> SubmitResult:
    return provider.parse_submit_response(make_account(), result)


def test_redirect_message_names_the_target_without_query() -> None:
    result = parse(make_response(status=302, location="https://portal.example/login?token=secret-token"))
    assert result.reason is Reason.bad_credentials
    assert "https://portal.example/login. Check " in (result.message or "")
    assert (
        parse(make_response(status=301, location="https://portal.example/api/v2/")).reason is Reason.refused
    )
    assert parse(make_response(status=301)).kind is SubmitResultKind.refused


def test_message_holds_provider_text_and_every_wrong_field() -> None:
    body = (
        '{"status": "ERROR", "message": "Invalid.", "errors": {"to": ["too short", "x"], "audio": "unknown"}}'
    )
    assert parse(make_response(body, 422)).message == "HTTP 422; Invalid.; to: too short; audio: unknown"


def test_message_is_short_storable_and_masked() -> None:
    message = parse(
        make_response(r'{"status": "ERROR", "message": "secret-token \ud800\u0000' + "x" * 900 + '"}')
    ).message
    assert message is not None
    assert len(message) == 500
    assert message.startswith("*** \ufffd\ufffdxxx")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("99999999", 86400.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        # compared with the reply's own Date, which is a minute earlier
        ("Wed, 21 Oct 2026 07:29:00 GMT", 60.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
    ],
)
def test_retry_after_is_in_seconds(text: str, seconds: float | None) -> None:
    result = parse(make_response(status=429, Retry_After=text, Date="Wed, 21 Oct 2026 07:28:00 GMT"))
    assert result.retry_after_s == seconds


def test_retry_after_uses_our_clock_when_there_is_no_date() -> None:
    in_the_past = datetime(2020, 1, 1, tzinfo=UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert parse(make_response(status=429, Retry_After=in_the_past)).retry_after_s == 0.0


@pytest.mark.parametrize(
    ("row", "raw", "at"),
    [
        (
            '"submitted_at": "2019-08-16 15:09:51"',
            "2019-08-16 15:09:51",
            datetime(2019, 8, 16, 9, 39, 51, tzinfo=UTC),
        ),
        (
            '"created_at": "2024-07-10T06:09:43Z"',
            "2024-07-10T06:09:43Z",
            datetime(2024, 7, 10, 6, 9, 43, tzinfo=UTC),
        ),
        ('"submitted_at": "0000-00-00 00:00:00"', None, None),
        ('"submitted_at": []', None, None),
    ],
)
def test_acceptance_time_is_parsed(row: str, raw: str | None, at: datetime | None) -> None:
    result = parse(make_response('{"status": 200, "data": [{"id": "a", ' + row + "}]}"))
    assert (result.accepted_raw, result.accepted_at) == (raw, at)
