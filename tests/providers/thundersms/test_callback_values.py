"""Tests the values of a call report: ids, references, configured keys, times, status words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.providers.thundersms.factories import (
    SUBMISSION,
    parse_report,
)
from tracker.domain.calls import CallStatus, Reason

ID = "8456bf26-1b6e-4ac1-adb9-2768258f71d0"
RECORD = {"id": ID, "to": "917619360003", "status": "BUSY"}


def test_integers_beyond_64_bits_become_text() -> None:
    report = parse_report(
        '{"id": 123456789012345678901234567890, "mid": 18446744073709551615, "status": "BUSY"}'
    )
    assert report.ids == ("123456789012345678901234567890",)
    assert report.message_id == "18446744073709551615"


def test_ids_are_unique_and_surest_first() -> None:
    body = {
        "custom": "c",
        "foreign_id": "f",
        "outgoing": {"parent_id": "parent", "id": "outgoing"},
        "submission_id": "s",
        "callId": "camel",
        "call_id": "snake",
        "id": ID,
        "cid": ID,
        "customid": "",
    }
    assert parse_report(body, query=f"id={ID}").ids == (
        ID,
        "camel",
        "snake",
        "outgoing",
        "parent",
        "s",
        "f",
        "c",
    )


def test_id_of_more_than_200_characters_is_ignored() -> None:
    assert parse_report({"id": "x" * 201, "call_id": "y" * 200, "status": "BUSY"}).ids == ("y" * 200,)


@pytest.mark.parametrize(
    "body",
    [
        {"custom": SUBMISSION},
        {"anything": SUBMISSION.upper()},
        {"deep": {"er": [1, ["x", {"ref": f" {SUBMISSION} "}], {}]}},
        {"custom": SUBMISSION, "id": SUBMISSION.upper()},
        f"x={SUBMISSION}",
    ],
)
def test_own_reference_is_found_anywhere_and_is_no_provider_id(body: Any) -> None:
    report = parse_report(body)
    assert report.references == (SUBMISSION,)
    assert report.ids == ()


@pytest.mark.parametrize(
    "text", [SUBMISSION + "x", "x" + SUBMISSION, SUBMISSION[:-1], "sub_", "call_" + SUBMISSION[4:]]
)
def test_text_like_a_reference_is_no_reference(text: str) -> None:
    assert parse_report({"custom": text}).references == ()


def test_configured_keys_win_over_known_names() -> None:
    keys = {
        "id": "unit.uuid",
        "submission": "ours.to",
        "to": "dialled",
        "bridge": "line",
        "status": "how.it.ended",
        "start_at": "von",
        "end_at": "bis",
        "duration": "secs",
        "mid": "batch",
        "flow_id": "tree",
        "recording_url": "sound",
    }
    body = {
        "unit": {"uuid": "wrong"},
        "unit.uuid": "right",
        "ours": {"to": "campaign-7"},
        "dialled": "917619360003",
        "line": "140",
        "how": {"it": {"ended": "MISSED"}},
        "von": "2021-04-09 16:27:39",
        "bis": "2021-04-09 16:27:55",
        "secs": "00:00:16",
        "batch": "m",
        "tree": 9,
        "sound": "http://x/y",
        "id": "later",
        "to": "14155552671",
        "status": "BUSY",
        "mid": "other",
    }
    report = parse_report(body, account={"callback_keys": keys})
    assert report.ids == ("right", "wrong", "campaign-7", "later")
    assert (report.to, report.bridge, report.flow_id, report.message_id) == ("+917619360003", "140", "9", "m")
    assert (report.provider_status, report.reason, report.duration_s) == (
        "MISSED",
        Reason.agent_no_answer,
        16,
    )
    assert report.started_at == datetime(2021, 4, 9, 10, 57, 39, tzinfo=UTC)
    assert report.ended_at == datetime(2021, 4, 9, 10, 57, 55, tzinfo=UTC)
    assert report.recording_url == "http://x/y"


def test_configured_keys_are_found_in_envelope_and_query() -> None:
    keys = {"id": "ref", "status": "state"}
    body = {"event": "voice:message:out", "payload": {"ref": "x"}}
    report = parse_report(body, query="state=BUSY", account={"callback_keys": keys})
    assert (report.ids, report.provider_status) == (("x",), "BUSY")


def test_known_names_are_used_when_configured_keys_are_missing() -> None:
    report = parse_report(RECORD, account={"callback_keys": {"id": "ref", "status": "state"}})
    assert (report.ids, report.provider_status) == ((ID,), "BUSY")


def test_time_is_read_in_the_zone_of_the_account() -> None:
    report = parse_report({"start_at": "2021-04-09 16:27:39"}, account={"time_zone": ZoneInfo("UTC")})
    assert report.started_at == datetime(2021, 4, 9, 16, 27, 39, tzinfo=UTC)
    assert report.started_raw == "2021-04-09 16:27:39"


def test_agent_number_is_not_the_bridge() -> None:
    assert parse_report({"from": 918919520002, "to": 918867130003}).bridge is None


def test_recording_url_must_be_http() -> None:
    assert parse_report({"recording_url": "javascript:alert(1)", "status": "BUSY"}).recording_url is None


@pytest.mark.parametrize("source", ["C2C", "c2c"])
def test_click_to_call_is_recognised(source: str) -> None:
    assert parse_report({"source": source, "status": "COMPLETED"}).click_to_call
    assert not parse_report({"source": "OBD", "status": "COMPLETED"}).click_to_call


def test_nul_and_lone_surrogates_are_replaced() -> None:
    report = parse_report(
        r'{"id": "a\u0000b", "mid": "\ud800", "status": "BU\udfffSY", "recording_url": "http://\u0000"}'
    )
    assert report.ids == ("a\ufffdb",)
    assert (report.message_id, report.provider_status, report.recording_url) == (
        "\ufffd",
        "BU\ufffdSY",
        "http://\ufffd",
    )
    assert parse_report("id=a%00b%ff&status=BUSY").ids == ("a\ufffdb\ufffd",)


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("queued", CallStatus.queued, None),
        ("ANSWER", CallStatus.completed, None),
        ("COMPLETED", CallStatus.completed, None),
        ("RECEIVED", CallStatus.completed, None),
        ("MISSED", CallStatus.completed, Reason.agent_no_answer),
        ("BUSY", CallStatus.busy, None),
        ("NOANSWER", CallStatus.no_answer, None),
        ("CANCEL", CallStatus.canceled, Reason.caller_hung_up),
        ("CONGESTION", CallStatus.failed, Reason.congestion),
        ("CHANUNAVAIL", CallStatus.failed, Reason.channel_unavailable),
        ("No Answer", CallStatus.no_answer, None),
        ("no-answer", CallStatus.no_answer, None),
        ("  No_Answer ", CallStatus.no_answer, None),
        ("chan_unavail", CallStatus.failed, Reason.channel_unavailable),
        ("RINGING", None, None),
        ("ANSWERED BY A MACHINE", None, None),
        ("200", None, None),
        ("сancel", None, None),  # a Cyrillic letter
    ],
)
def test_status_word_is_translated(word: str, status: CallStatus | None, reason: Reason | None) -> None:
    report = parse_report({"id": ID, "status": word})
    assert (report.status, report.reason, report.provider_status) == (status, reason, word.strip())
