"""What the provider says when it is asked."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.thundersms import account, provider, reply
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


def poll(*rows: dict[str, object], asked: str = ASKED) -> tuple[CallReport, ...]:
    return provider.parse_status_response(
        account(), asked, reply({"status": "OK", "data": list(rows)})
    ).reports


def test_the_newer_answer_is_read() -> None:
    (reading,) = poll(NEW)
    assert reading.status is CallStatus.no_answer
    assert reading.to == "+918900000224"
    assert reading.bridge == "918068287602"
    assert reading.started_at is not None
    assert (
        reading.started_at.isoformat() == "2024-07-10T06:09:50+00:00"
    )  # the poll's zone, not the callback's
    assert reading.dtmf is None
    assert reading.duration_s is None


def test_dtmf_and_charges_are_read() -> None:
    (reading,) = poll({**NEW, "dtmf": "1#2", "credits": 0.5})
    assert (reading.dtmf, reading.charges) == ("1#2", "0.5")


@pytest.mark.parametrize("found", [ASKED, ASKED.upper(), ASKED[:-2], ASKED[:-2].upper(), ASKED[:-2] + ":2"])
@pytest.mark.parametrize("asked", [ASKED, ASKED[:-2]])
def test_a_row_belongs_to_the_id_with_or_without_suffix(asked: str, found: str) -> None:
    other_suffix = asked == ASKED and found.endswith(":2")
    assert len(poll({**NEW, "id": found}, asked=asked)) == (0 if other_suffix else 1)


def test_rows_of_other_ids_are_dropped() -> None:
    other = {**NEW, "id": "8456bf26-1b6e-4ac1-adb9-2768258f71d0", "status": "BUSY"}
    longer = {**NEW, "id": ASKED + "0", "status": "BUSY"}
    assert [r.provider_status for r in poll(other, NEW, longer)] == ["NOANSWER"]
    assert poll(other) == ()


def test_a_single_row_without_an_id_is_the_answer() -> None:
    row = {**NEW, "id": None}
    assert len(poll(row)) == 1
    assert poll(row, row) == ()
    assert len(poll(row, NEW)) == 1


def test_several_dials_of_one_submission_are_several_records() -> None:
    assert [r.provider_status for r in poll({**NEW, "status": "BUSY"}, {**NEW, "status": "ANSWER"})] == [
        "BUSY",
        "ANSWER",
    ]


def test_an_unknown_word_is_a_record_without_a_status() -> None:
    (reading,) = poll({**NEW, "status": "TELEPORTED"})
    assert (reading.provider_status, reading.status) == ("TELEPORTED", None)


@pytest.mark.parametrize(
    "answer",
    [
        reply({"status": 200, "data": []}),
        reply({"status": 200, "data": None}),
        reply({"status": 200, "data": {}}),
        reply({"status": 200}),
        reply("", 404),
        reply(LOGIN, 404),
        reply({"status": "ERROR", "code": 404, "message": "Not Found"}),
        reply({"status": 404, "message": "Not Found"}),
        reply({"status": "OK", "data": [{**NEW, "status": "queued"}]}),
        reply({"status": "OK", "data": [{**NEW, "status": ""}]}),
    ],
)
def test_not_yet_known_is_no_record(answer: HttpResponse) -> None:
    assert provider.parse_status_response(account(), ASKED, answer).reports == ()


@pytest.mark.parametrize(
    "answer",
    [
        reply("", 401),
        reply({"message": "Forbidden"}, 403),
        reply(LOGIN),
        reply("", 302, location="/login"),
        reply({"status": "ERROR", "code": 401}),
        reply({"status": "ERROR", "message": "Unauthenticated."}),
    ],
)
def test_bad_credentials_are_a_refusal(answer: HttpResponse) -> None:
    with pytest.raises(ProviderRefused, match="refused the access token of account thundersms"):
        provider.parse_status_response(account(), ASKED, answer)
    with pytest.raises(ProviderRefused):
        provider.parse_credentials_response(account(), answer)


@pytest.mark.parametrize(
    "answer",
    [
        reply("", 429),
        reply({"status": 200, "data": []}, 500),
        reply(LOGIN, 503),
        reply("", 204),
        reply("nothing"),
        reply("[]"),
        reply({"status": "ERROR", "message": "Try later"}),
        reply('{"status": 200, "data": []}', body_error="ReadError"),
    ],
)
def test_what_is_no_answer_is_an_error(answer: HttpResponse) -> None:
    with pytest.raises(ProviderError) as caught:
        provider.parse_status_response(account(), ASKED, answer)
    assert not isinstance(caught.value, ProviderRefused)
    with pytest.raises(ProviderError):
        provider.parse_credentials_response(account(), answer)


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
def test_a_check_says_whose_token_it_is(body: str, sentence: str) -> None:
    assert provider.parse_credentials_response(account(), reply(body)) == sentence


@given(body=st.binary(max_size=300), status=st.integers(100, 599))
def test_any_reply_is_read_or_is_a_provider_error(body: bytes, status: int) -> None:
    for ask in (
        lambda: provider.parse_status_response(account(), ASKED, reply(body, status)),
        lambda: provider.parse_credentials_response(account(), reply(body, status)),
    ):
        with suppress(ProviderError):
            assert ask() is not None
