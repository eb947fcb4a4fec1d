"""How an answer to a submission is read, in its order: the first line that fits decides."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.thundersms import account, provider, reply
from tracker.domain.call_reports import SubmitResult, SubmitResultKind
from tracker.domain.calls import Reason
from tracker.providers.base import ExchangeFailure, HttpResponse

GOOD = '{"status": 200, "message": "1 numbers accepted for delivery.", "data": [{"id": "abc:1"}]}'
ERROR = '{"status": "ERROR", "message": "Something is wrong"}'
LOGIN = "<!DOCTYPE html>\n<html><head><title>Login</title></head></html>"


def read(result: HttpResponse | ExchangeFailure) -> SubmitResult:
    return provider.parse_submit_response(account(), result)


@pytest.mark.parametrize("status", [200, 201, 202, 302, 400, 401, 408, 422, 429, 500, 503])
@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        '{"status": "200", "data": [{"id": "abc:1"}]}',
        '{"status": "OK", "data": [{"id": "abc:1"}]}',
        '{"status": "ok", "data": {"id": "abc:1"}}',
        '{"status": " Ok ", "callId": "abc:1"}',
        '{"status": 200, "data": [{"mobile": "918919525224"}, {"id": "abc:1"}]}',
        '\ufeff{"status": 200, "data": [{"id": "abc:1"},],}',
    ],
)
def test_success_with_an_id_is_accepted_whatever_the_code(body: str, status: int) -> None:
    answer = read(reply(body, status))
    assert (answer.kind, answer.submission_id, answer.reason) == (SubmitResultKind.accepted, "abc:1", None)


def test_success_with_an_id_is_accepted_even_if_the_connection_broke_after_it() -> None:
    assert read(reply(GOOD, 200, body_error="ReadError")).kind is SubmitResultKind.accepted


def test_an_id_that_is_a_number_is_text() -> None:
    assert read(reply('{"status": 200, "data": [{"id": 12345678901234567890123}]}')).submission_id == (
        "12345678901234567890123"
    )


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, "", SubmitResultKind.rate_limited),
        (429, ERROR, SubmitResultKind.rate_limited),
        (429, LOGIN, SubmitResultKind.rate_limited),
        # unclear, also with an error body: it may have failed after the call was placed
        (408, "", SubmitResultKind.unclear),
        (408, ERROR, SubmitResultKind.unclear),
        (500, ERROR, SubmitResultKind.unclear),
        (502, LOGIN, SubmitResultKind.unclear),
        (503, '{"status": 200, "data": []}', SubmitResultKind.unclear),
        # refused
        (400, "", SubmitResultKind.refused),
        (401, ERROR, SubmitResultKind.refused),
        (404, LOGIN, SubmitResultKind.refused),
        (409, "not JSON", SubmitResultKind.refused),
        (422, '{"status": 200, "data": []}', SubmitResultKind.refused),
        (301, "", SubmitResultKind.refused),
        (302, LOGIN, SubmitResultKind.refused),
        (200, LOGIN, SubmitResultKind.refused),
        (200, "  <html lang='en'>", SubmitResultKind.refused),
        (200, ERROR, SubmitResultKind.refused),
        (201, '{"status": 400, "data": [{"id": "abc:1"}]}', SubmitResultKind.refused),
        (200, '{"status": "queued", "data": [{"id": "abc:1"}]}', SubmitResultKind.refused),
        (200, '{"status": true, "data": [{"id": "abc:1"}]}', SubmitResultKind.refused),
        (200, '{"status": 200, "data": []}', SubmitResultKind.refused),
        (200, '{"status": "OK", "data": {}}', SubmitResultKind.refused),
        (200, '{"status": "OK", "data": null}', SubmitResultKind.refused),
        # all else is unclear
        (200, "", SubmitResultKind.unclear),
        (204, "", SubmitResultKind.unclear),
        (200, "OK", SubmitResultKind.unclear),
        (200, '"OK"', SubmitResultKind.unclear),
        (200, "[]", SubmitResultKind.unclear),
        (200, "{}", SubmitResultKind.unclear),
        (200, '{"status": null, "data": [{"id": "abc:1"}]}', SubmitResultKind.unclear),
        (200, '{"data": [{"id": "abc:1"}]}', SubmitResultKind.unclear),
        (200, '{"status": 200}', SubmitResultKind.unclear),
        (200, '{"status": 200, "data": [{"mobile": "918919525224"}]}', SubmitResultKind.unclear),
        (200, '{"status": 200, "data": [{"id": ""}]}', SubmitResultKind.unclear),
        (200, '{"status": 200, "data": "1 number"}', SubmitResultKind.unclear),
        (200, GOOD[:-20], SubmitResultKind.unclear),
        (200, "<?xml version='1.0'?><ok/>", SubmitResultKind.unclear),
    ],
)
def test_the_order_of_reading(status: int, body: str, kind: SubmitResultKind) -> None:
    answer = read(reply(body, status))
    assert answer.kind is kind
    assert answer.submission_id is None
    assert answer.reason is not None
    assert answer.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, SubmitResultKind.unclear),
        (201, SubmitResultKind.unclear),
        (302, SubmitResultKind.refused),
        (400, SubmitResultKind.refused),
        (422, SubmitResultKind.refused),
        (408, SubmitResultKind.unclear),
        (429, SubmitResultKind.rate_limited),
        (500, SubmitResultKind.unclear),
    ],
)
@pytest.mark.parametrize("body", [b"", b'{"status": "ERR', b"<html", b"\xff\xfe"])
def test_a_broken_body_leaves_the_status_to_decide(body: bytes, status: int, kind: SubmitResultKind) -> None:
    answer = read(reply(body, status, body_error="RemoteProtocolError: closed"))
    assert answer.kind is kind


def test_no_reply_is_never_left_or_unclear() -> None:
    left = read(ExchangeFailure(never_left=False, message="ReadTimeout"))
    assert (left.kind, left.reason, left.message) == (
        SubmitResultKind.unclear,
        Reason.no_clear_answer,
        "ReadTimeout",
    )
    never = read(ExchangeFailure(never_left=True, message="ConnectError"))
    assert (never.kind, never.reason) == (SubmitResultKind.never_left, Reason.provider_unreachable)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, "", Reason.bad_credentials),
        (403, '{"message": "Forbidden"}', Reason.bad_credentials),
        (403, '{"message": "Insufficient permissions"}', Reason.bad_credentials),
        (200, '{"status": "ERROR", "code": 401, "message": "no"}', Reason.bad_credentials),
        (200, '{"status": "ERROR", "message": "Invalid access token"}', Reason.bad_credentials),
        (200, '{"status": "ERROR", "message": "Unauthenticated."}', Reason.bad_credentials),
        (200, LOGIN, Reason.bad_credentials),
        (402, "", Reason.insufficient_balance),
        (403, '{"message": "Insufficient balance"}', Reason.insufficient_balance),
        (400, '{"message": "You have no credits left"}', Reason.insufficient_balance),
        (200, '{"status": 402, "message": ""}', Reason.insufficient_balance),
        (200, '{"status": "ERROR", "data": {"error": "Low Balance"}}', Reason.insufficient_balance),
        (200, '{"status": 200, "message": "insufficient amount", "data": []}', Reason.insufficient_balance),
        (
            422,
            '{"message": "The given data was invalid.", "errors": {"to": ["is wrong"]}}',
            Reason.invalid_number,
        ),
        (422, '{"errors": {"to.0": ["is wrong"]}}', Reason.invalid_number),
        (400, '{"message": "Invalid mobile number"}', Reason.invalid_number),
        (400, '{"message": "The number 91 is not valid"}', Reason.invalid_number),
        (422, '{"errors": {"flow_id": ["The selected flow id is invalid."]}}', Reason.invalid_field),
        (422, '{"errors": {"webhook_token": ["is wrong"]}}', Reason.invalid_field),
        (400, "", Reason.invalid_field),
        (422, '{"data": {"error": {"errors": {"audio": ["required"]}}}}', Reason.invalid_field),
        (200, '{"status": "ERROR", "message": "Too Many Attempts."}', Reason.rate_limited),
        (404, "", Reason.refused),
        (409, '{"message": "Duplicate"}', Reason.refused),
        (200, '{"status": 200, "message": "0 numbers accepted for delivery.", "data": []}', Reason.refused),
    ],
)
def test_a_refusal_has_a_reason_in_our_words(status: int, body: str, reason: Reason) -> None:
    answer = read(reply(body, status))
    assert (answer.kind, answer.reason) == (SubmitResultKind.refused, reason)


def test_a_redirect_says_where_to_but_not_with_what() -> None:
    answer = read(reply(status=302, location="https://portal.example/login?token=secret-token"))
    assert answer.reason is Reason.bad_credentials
    assert "https://portal.example/login;" in (answer.message or "")
    assert read(reply(status=301, location="https://portal.example/api/v2/")).reason is Reason.refused
    assert read(reply(status=301)).kind is SubmitResultKind.refused


def test_the_message_has_the_providers_words_and_every_wrong_field() -> None:
    body = (
        '{"status": "ERROR", "message": "Invalid.", "errors": {"to": ["too short", "x"], "audio": "unknown"}}'
    )
    assert read(reply(body, 422)).message == "HTTP 422; Invalid.; to: too short; audio: unknown"


def test_the_message_is_short_safe_and_without_secrets() -> None:
    message = read(
        reply(r'{"status": "ERROR", "message": "secret-token \ud800\u0000' + "x" * 900 + '"}')
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
def test_retry_after_is_seconds_from_now(text: str, seconds: float | None) -> None:
    answer = read(reply(status=429, Retry_After=text, Date="Wed, 21 Oct 2026 07:28:00 GMT"))
    assert answer.retry_after_s == seconds


def test_retry_after_is_compared_with_our_clock_where_the_reply_has_no_date() -> None:
    in_the_past = datetime(2020, 1, 1, tzinfo=UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert read(reply(status=429, Retry_After=in_the_past)).retry_after_s == 0.0


@pytest.mark.parametrize(
    ("row", "as_sent", "at"),
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
def test_the_time_of_acceptance(row: str, as_sent: str | None, at: datetime | None) -> None:
    answer = read(reply('{"status": 200, "data": [{"id": "a", ' + row + "}]}"))
    assert (answer.accepted_raw, answer.accepted_at) == (as_sent, at)


@given(
    body=st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
    ),
    status=st.integers(100, 599),
    body_error=st.none() | st.text(max_size=20),
    retry_after=st.text(max_size=30).map(lambda t: t.encode("utf-8", "replace")),
)
def test_anything_at_all_gives_an_answer(
    body: bytes, status: int, body_error: str | None, retry_after: bytes
) -> None:
    headers = ((b"retry-after", retry_after), (b"date", retry_after), (b"location", retry_after))
    answer = read(HttpResponse(status=status, headers=headers, body=body, body_error=body_error))
    assert answer.kind is not SubmitResultKind.accepted
    assert answer.message


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=10)
    | st.sampled_from(["OK", "200", "ERROR"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "status", "data", "message", "error", "errors", "code", "callId", "mobile"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(fields=st.dictionaries(st.sampled_from(["status", "data", "message", "errors", "code"]), json_values))
def test_any_json_gives_an_answer_and_only_success_with_an_id_is_accepted(fields: dict[str, object]) -> None:
    answer = read(reply(json.dumps(fields)))
    if answer.kind is SubmitResultKind.accepted:
        assert str(fields["status"]).strip().upper() in ("200", "OK")
        assert answer.submission_id
    else:
        assert answer.submission_id is None
        assert len(answer.message or "") <= 500
