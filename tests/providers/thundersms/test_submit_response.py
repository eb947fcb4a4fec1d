"""Tests the classification of responses to a submission, in its order: the first check that fits decides."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.thundersms.factories import make_account, make_response, provider
from tracker.domain.call_reports import SubmitResult, SubmitResultKind
from tracker.domain.calls import Reason
from tracker.providers.base import ExchangeFailure, HttpResponse

GOOD = '{"status": 200, "message": "1 numbers accepted for delivery.", "data": [{"id": "abc:1"}]}'
ERROR = '{"status": "ERROR", "message": "Something is wrong"}'
LOGIN = "<!DOCTYPE html>\n<html><head><title>Login</title></head></html>"


def parse(result: HttpResponse | ExchangeFailure) -> SubmitResult:
    return provider.parse_submit_response(make_account(), result)


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
def test_success_with_id_is_accepted_with_any_http_status(body: str, status: int) -> None:
    result = parse(make_response(body, status))
    assert (result.kind, result.submission_id, result.reason) == (SubmitResultKind.accepted, "abc:1", None)


def test_success_with_id_is_accepted_when_the_body_breaks_off() -> None:
    assert parse(make_response(GOOD, 200, body_error="ReadError")).kind is SubmitResultKind.accepted


def test_numeric_id_becomes_text() -> None:
    assert parse(
        make_response('{"status": 200, "data": [{"id": 12345678901234567890123}]}')
    ).submission_id == ("12345678901234567890123")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, "", SubmitResultKind.rate_limited),
        (429, ERROR, SubmitResultKind.rate_limited),
        (429, LOGIN, SubmitResultKind.rate_limited),
        # unclear, also with an error in the body, because the call may have been placed before the error
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
        # everything else is unclear
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
def test_response_without_success_and_id_is_classified(
    status: int, body: str, kind: SubmitResultKind
) -> None:
    result = parse(make_response(body, status))
    assert result.kind is kind
    assert result.submission_id is None
    assert result.reason is not None
    assert result.message


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
def test_http_status_decides_when_the_body_breaks_off(
    body: bytes, status: int, kind: SubmitResultKind
) -> None:
    result = parse(make_response(body, status, body_error="RemoteProtocolError: closed"))
    assert result.kind is kind


def test_failure_is_never_left_or_unclear() -> None:
    left = parse(ExchangeFailure(never_left=False, message="ReadTimeout"))
    assert (left.kind, left.reason, left.message) == (
        SubmitResultKind.unclear,
        Reason.no_clear_answer,
        "ReadTimeout",
    )
    never = parse(ExchangeFailure(never_left=True, message="ConnectError"))
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
def test_refusal_has_a_reason(status: int, body: str, reason: Reason) -> None:
    result = parse(make_response(body, status))
    assert (result.kind, result.reason) == (SubmitResultKind.refused, reason)


@given(
    body=st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
    ),
    status=st.integers(100, 599),
    body_error=st.none() | st.text(max_size=20),
    retry_after=st.text(max_size=30).map(lambda t: t.encode("utf-8", "replace")),
)
def test_any_bytes_are_classified_and_never_accepted(
    body: bytes, status: int, body_error: str | None, retry_after: bytes
) -> None:
    headers = ((b"retry-after", retry_after), (b"date", retry_after), (b"location", retry_after))
    result = parse(HttpResponse(status=status, headers=headers, body=body, body_error=body_error))
    assert result.kind is not SubmitResultKind.accepted
    assert result.message


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
def test_any_json_is_accepted_only_with_success_and_id(fields: dict[str, object]) -> None:
    result = parse(make_response(json.dumps(fields)))
    if result.kind is SubmitResultKind.accepted:
        assert str(fields["status"]).strip().upper() in ("200", "OK")
        assert result.submission_id
    else:
        assert result.submission_id is None
        assert len(result.message or "") <= 500
