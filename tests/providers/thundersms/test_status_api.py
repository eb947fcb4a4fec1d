"""Tests the parsing of responses to a poll and to a check of the credentials."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.thundersms.factories import make_account, make_response, provider
from tracker.domain.call_reports import CallReport
from tracker.domain.calls import CallStatus
from tracker.errors import ProviderError, ProviderRefused
from tracker.providers.base import HttpResponse

ASKED = "047d8cfc-77d1-4f6c-bfb5-e81f1a1343a7:1"
LOGIN = "<!doctype html><html></html>"
NEW: dict[str, object] = {
    "id": "047d8cfc-77d1-4f6c-bfb5-e81f1a1343a7",
    "channel": "outgoing",
    "from": "918068287602",
    "to": "918900000224",
    "created_at": "2024-07-10T06:09:43.054164Z",
    "foreign_id": None,
    "status": "NOANSWER",
    "start_at": "2024-07-10 06:09:50",
    "end_at": "2024-07-10 06:10:20",
    "dtmf": "",
}


def parse(*rows: dict[str, object], asked: str = ASKED) -> tuple[CallReport, ...]:
    return provider.parse_status_response(
        make_account(), asked, make_response({"status": "OK", "data": list(rows)})
    ).reports


def test_newer_status_response_is_parsed() -> None:
    (report,) = parse(NEW)
    assert report.status is CallStatus.no_answer
    assert report.to == "+918900000224"
    assert report.bridge == "918068287602"
    assert report.started_at is not None
    assert (
        report.started_at.isoformat() == "2024-07-10T06:09:50+00:00"
    )  # in the zone of polls, not of callbacks
    assert report.dtmf is None
    assert report.duration_s is None


def test_dtmf_and_charges_are_parsed() -> None:
    (report,) = parse({**NEW, "dtmf": "1#2", "credits": 0.5})
    assert (report.dtmf, report.charges) == ("1#2", "0.5")


@pytest.mark.parametrize("row_id", [ASKED, ASKED.upper(), ASKED[:-2], ASKED[:-2].upper(), ASKED[:-2] + ":2"])
@pytest.mark.parametrize("asked", [ASKED, ASKED[:-2]])
def test_row_matches_the_id_with_or_without_suffix(asked: str, row_id: str) -> None:
    other_suffix = asked == ASKED and row_id.endswith(":2")
    assert len(parse({**NEW, "id": row_id}, asked=asked)) == (0 if other_suffix else 1)


def test_rows_of_other_ids_are_ignored() -> None:
    other = {**NEW, "id": "8456bf26-1b6e-4ac1-adb9-2768258f71d0", "status": "BUSY"}
    longer = {**NEW, "id": ASKED + "0", "status": "BUSY"}
    assert [r.provider_status for r in parse(other, NEW, longer)] == ["NOANSWER"]
    assert parse(other) == ()


def test_only_row_needs_no_id() -> None:
    row = {**NEW, "id": None}
    assert len(parse(row)) == 1
    assert parse(row, row) == ()
    assert len(parse(row, NEW)) == 1


def test_each_dial_of_a_submission_is_a_report() -> None:
    assert [r.provider_status for r in parse({**NEW, "status": "BUSY"}, {**NEW, "status": "ANSWER"})] == [
        "BUSY",
        "ANSWER",
    ]


def test_unknown_status_word_gives_a_report_without_status() -> None:
    (report,) = parse({**NEW, "status": "TELEPORTED"})
    assert (report.provider_status, report.status) == ("TELEPORTED", None)


@pytest.mark.parametrize(
    "response",
    [
        make_response({"status": 200, "data": []}),
        make_response({"status": 200, "data": None}),
        make_response({"status": 200, "data": {}}),
        make_response({"status": 200}),
        make_response("", 404),
        make_response(LOGIN, 404),
        make_response({"status": "ERROR", "code": 404, "message": "Not Found"}),
        make_response({"status": 404, "message": "Not Found"}),
        make_response({"status": "OK", "data": [{**NEW, "status": "queued"}]}),
        make_response({"status": "OK", "data": [{**NEW, "status": ""}]}),
    ],
)
def test_unknown_or_queued_submission_has_no_report(response: HttpResponse) -> None:
    assert provider.parse_status_response(make_account(), ASKED, response).reports == ()


@pytest.mark.parametrize(
    "response",
    [
        make_response("", 401),
        make_response({"message": "Forbidden"}, 403),
        make_response(LOGIN),
        make_response("", 302, location="/login"),
        make_response({"status": "ERROR", "code": 401}),
        make_response({"status": "ERROR", "message": "Unauthenticated."}),
    ],
)
def test_refused_token_raises_provider_refused(response: HttpResponse) -> None:
    with pytest.raises(ProviderRefused, match="refused the access token of account thundersms"):
        provider.parse_status_response(make_account(), ASKED, response)
    with pytest.raises(ProviderRefused):
        provider.parse_credentials_response(make_account(), response)


@pytest.mark.parametrize(
    "response",
    [
        make_response("", 429),
        make_response({"status": 200, "data": []}, 500),
        make_response(LOGIN, 503),
        make_response("", 204),
        make_response("nothing"),
        make_response("[]"),
        make_response({"status": "ERROR", "message": "Try later"}),
        make_response('{"status": 200, "data": []}', body_error="ReadError"),
    ],
)
def test_unusable_response_raises_provider_error(response: HttpResponse) -> None:
    with pytest.raises(ProviderError) as caught:
        provider.parse_status_response(make_account(), ASKED, response)
    assert not isinstance(caught.value, ProviderRefused)
    with pytest.raises(ProviderError):
        provider.parse_credentials_response(make_account(), response)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            '{"status": "OK", "data": {"name": "Asha", "email": "asha@example.com", "id": 7}}',
            "The access token of account thundersms is valid and belongs to Asha, asha@example.com.",
        ),
        (
            '{"name": "Asha", "status": "active"}',
            "The access token of account thundersms is valid and belongs to Asha.",
        ),
        ('{"status": 200}', "The access token of account thundersms is valid."),
    ],
)
def test_credentials_response_names_the_owner(body: str, sentence: str) -> None:
    assert provider.parse_credentials_response(make_account(), make_response(body)) == sentence


@given(body=st.binary(max_size=300), status=st.integers(100, 599))
def test_any_bytes_are_parsed_or_raise_provider_error(body: bytes, status: int) -> None:
    for parse_any in (
        lambda: provider.parse_status_response(make_account(), ASKED, make_response(body, status)),
        lambda: provider.parse_credentials_response(make_account(), make_response(body, status)),
    ):
        with suppress(ProviderError):
            assert parse_any() is not None
