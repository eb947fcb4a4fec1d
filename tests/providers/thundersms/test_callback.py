"""Tests the parsing of callbacks in every form, and of other messages to the webhook."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.providers.thundersms.factories import (
    SUBMISSION,
    make_callback,
    parse_callback,
    parse_report,
    provider,
)
from tracker.domain.call_reports import NotACall, UnreadableCallback, WebhookChallenge
from tracker.domain.calls import CallStatus, Reason

ID = "8456bf26-1b6e-4ac1-adb9-2768258f71d0"
RECORD = {"id": ID, "to": "917619360003", "status": "BUSY"}
FORM = f"id={ID}&to=%2B91+76193+60003&status=BUSY"
MULTIPART = (
    '--XX\r\nContent-Disposition: form-data; name="id"\r\n\r\n' + ID + "\r\n"
    '--XX\r\nContent-Disposition: form-data; name="to"\r\n\r\n917619360003\r\n'
    '--XX\r\nContent-Disposition: form-data; name="sound"; filename="a.wav"\r\n\r\nRIFF\r\n'
    '--XX\r\nContent-Disposition: form-data; name="status"\r\n\r\nBUSY\r\n--XX--\r\n'
)

# Forms


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


# Repairs of JSON


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


# Values


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


# Status words


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


# Other messages


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


# Challenges


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


# Secrets


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
