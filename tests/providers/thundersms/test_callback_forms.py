"""Tests that callbacks are parsed in every form, and that common errors in JSON are repaired."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.thundersms.factories import (
    parse_callback,
    parse_report,
)
from tracker.domain.call_reports import UnreadableCallback
from tracker.domain.calls import CallStatus

ID = "8456bf26-1b6e-4ac1-adb9-2768258f71d0"
RECORD = {"id": ID, "to": "917619360003", "status": "BUSY"}
FORM = f"id={ID}&to=%2B91+76193+60003&status=BUSY"
MULTIPART = (
    '--XX\r\nContent-Disposition: form-data; name="id"\r\n\r\n' + ID + "\r\n"
    '--XX\r\nContent-Disposition: form-data; name="to"\r\n\r\n917619360003\r\n'
    '--XX\r\nContent-Disposition: form-data; name="sound"; filename="a.wav"\r\n\r\nRIFF\r\n'
    '--XX\r\nContent-Disposition: form-data; name="status"\r\n\r\nBUSY\r\n--XX--\r\n'
)


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
@pytest.mark.parametrize(
    ("body", "query", "content_type"),
    [
        (RECORD, "", "application/json"),
        (RECORD, "", "text/plain; charset=utf-8"),
        (RECORD, "", "application/x-www-form-urlencoded"),
        (RECORD, "", "multipart/form-data; boundary=XX"),
        (RECORD, "", ""),
        ("", FORM, ""),
        ("", FORM, "application/json"),
        (FORM, "", "application/x-www-form-urlencoded"),
        (FORM, "", "application/json"),
        (FORM, "", ""),
        (MULTIPART, "", "multipart/form-data; boundary=XX"),
        (MULTIPART, "", 'Multipart/Form-Data; charset=utf-8; boundary="XX"'),
        (MULTIPART, "", "application/json"),
        (MULTIPART, "", "multipart/form-data"),
        ({"to": "917619360003", "status": "BUSY"}, f"id={ID}", "application/json"),
        (
            {"id": "{{id}}", "to": 917619360003, "status": "BUSY"},
            f"id={ID}&status=ANSWER",
            "application/json",
        ),
        ({"event": "voice:message:out", "payload": RECORD}, "", "application/json"),
        ({"event": "voice:message:out", "id": "of the event", "payload": RECORD}, "", "application/json"),
        ({"outgoing": {"id": ID, "status": "BUSY", "to": "917619360003"}}, "", "application/json"),
        (
            {"outgoing.id": ID, "outgoing.status": "BUSY", "outgoing.to": "917619360003"},
            "",
            "application/json",
        ),
        (f"outgoing[id]={ID}&outgoing[status]=BUSY&outgoing[to]=917619360003", "", ""),
        ({"call_id": ID, "message_status": "BUSY", "mobile": "917619360003"}, "", "application/json"),
        ({"callId": ID, "callStatus": "BUSY", "Mobile": "+91 76193-60003"}, "", "application/json"),
        (
            {"wrapper": [{"outgoing": {"callId": ID}}], "status": "BUSY", "msisdn": "7619360003"},
            "",
            "text/html",
        ),
    ],
)
def test_call_report_is_parsed_in_every_form(body: Any, query: str, content_type: str, method: str) -> None:
    report = parse_report(body, query=query, content_type=content_type, method=method)
    assert report.ids[0] == ID
    assert report.to == "+917619360003"
    assert report.status is CallStatus.busy


def test_query_only_fills_fields_missing_in_the_body() -> None:
    report = parse_report(
        {"status": "BUSY", "duration": "", "mid": "@{{mid}}"},
        query="status=ANSWER&duration=7&mid=m&flow_id=24",
    )
    assert (report.provider_status, report.duration_s, report.message_id, report.flow_id) == (
        "BUSY",
        7,
        "m",
        "24",
    )


def test_top_level_key_wins_over_a_nested_one() -> None:
    body = {
        "outgoing": {"id": "nested", "status": "queued"},
        "a.status": "CANCEL",
        "message_status": "BUSY",
        "id": ID,
    }
    report = parse_report(body)
    assert report.provider_status == "BUSY"
    assert report.ids == (ID, "nested")


def test_fields_in_a_list_of_several_are_ignored() -> None:
    report = parse_report({"status": "BUSY", "calls": [{"id": "one"}, {"id": "two"}]})
    assert report.ids == ()


@pytest.mark.parametrize(
    "body",
    [
        '\ufeff{"id": "x", "status": "BUSY"}',
        '{"id": "x", "status": "BUSY",}',
        '{"id": "x", "status": "BUSY" , \n }',
        '{"id": "x", "status": "BUSY", "list": [1, 2,],}',
        '{"id": "x", "status": "BUSY", "duration": {{duration}}}',
        '{"id": "x", "status": "BUSY", "duration": @{{duration}}, "flow_id": {{ flow.id }}}',
        '{"id": "x", "status": "BUSY", "duration": , "flow_id":}',
        '{"id": "x", "status": "BUSY", "duration": "{{duration}}", "mid": "@{{mid}}", "to": ""}',
        '{"id": "x", "status": "BUSY", "mid": "{mid}", "start_at": "{start_at|date_format:d/m/Y}"}',
        '  \r\n{"id": "x", "status": "BUSY"}\n',
    ],
)
def test_common_json_errors_are_repaired(body: str) -> None:
    report = parse_report(body)
    assert (report.ids, report.status) == (("x",), CallStatus.busy)
    assert (report.duration_s, report.message_id, report.to, report.started_raw, report.flow_id) == (
        None,
    ) * 5


def test_text_in_json_is_not_repaired() -> None:
    mid = "a,} b,] {{x}} :,"
    assert parse_report('{"status": "BUSY", "mid": "%s", "custom": "q\\", }",}' % mid).message_id == mid  # noqa: UP031


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ('{"id": "x", "to": 91886713XXXX}', ""),
        ('{"id": "say "hello"", "status": "BUSY"}', ""),
        ('{"id": "x"', ""),
        ("{'id': 'x'}", ""),
        ('{"id": "x"} {"id": "y"}', ""),
        ('{"id": NaN}', ""),
        ('{"a":' * 3000 + "1" + "}" * 3000, ""),
        ("[" * 100_000, ""),
        (b'{"id": "\xff"}', ""),
        (b"\x00\x01\x02", ""),
        ("hello", ""),
        ("<xml status='1'>a=b</xml>", ""),
        ("=", ""),
        ("&&&", ""),
        ('--XX\r\nContent-Disposition: form-data; name="id"\r\n\r\nx\r\n', ""),
        (MULTIPART[:-12], ""),
        ("&".join(f"k{i}=1" for i in range(2001)), ""),
        ('{"id": "x"', f"id={ID}"),
        # no fields
        ("", ""),
        ("  \n", ""),
        ("\ufeff", ""),
        ("null", ""),
        ("17", ""),
        ("1e999", ""),
        ('"text"', ""),
        ("true", ""),
        ("[]", ""),
        ('[{"id": "x"}]', ""),
        ("{}", ""),
        ("null", f"id={ID}"),
        ('[{"id": "x"}]', f"id={ID}"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", ""])
def test_callback_without_fields_is_unreadable(body: str | bytes, query: str, content_type: str) -> None:
    report = parse_callback(body, query=query, content_type=content_type)
    assert isinstance(report, UnreadableCallback)
    assert report.reason
    assert "internal" not in report.reason


@pytest.mark.parametrize(
    ("body", "query"), [({"colour": "red"}, ""), ("colour=red", ""), ("", "colour"), ("{}", "a=b")]
)
def test_unknown_fields_give_an_empty_report(body: Any, query: str) -> None:
    report = parse_report(body, query=query)
    assert (report.ids, report.to, report.provider_status) == ((), None, None)
