"""Callbacks in every form that they may take, and what must not be taken for one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.providers.thundersms import SUBMISSION, incoming, provider, read, reading
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

# The forms


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
def test_one_record_in_every_form(body: Any, query: str, content_type: str, method: str) -> None:
    found = reading(body, query=query, content_type=content_type, method=method)
    assert found.ids[0] == ID
    assert found.to == "+917619360003"
    assert found.status is CallStatus.busy


def test_the_body_goes_before_the_query_which_fills_what_is_missing() -> None:
    found = reading(
        {"status": "BUSY", "duration": "", "mid": "@{{mid}}"},
        query="status=ANSWER&duration=7&mid=m&flow_id=24",
    )
    assert (found.provider_status, found.duration_s, found.message_id, found.flow_id) == (
        "BUSY",
        7,
        "m",
        "24",
    )


def test_a_literal_key_goes_before_a_path() -> None:
    body = {
        "outgoing": {"id": "nested", "status": "queued"},
        "a.status": "CANCEL",
        "message_status": "BUSY",
        "id": ID,
    }
    found = reading(body)
    assert found.provider_status == "BUSY"
    assert found.ids == (ID, "nested")


def test_a_list_of_several_names_nothing() -> None:
    found = reading({"status": "BUSY", "calls": [{"id": "one"}, {"id": "two"}]})
    assert found.ids == ()


# Mending, and what cannot be mended


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
def test_what_can_be_mended_is_mended(body: str) -> None:
    found = reading(body)
    assert (found.ids, found.status) == (("x",), CallStatus.busy)
    assert (found.duration_s, found.message_id, found.to, found.started_raw, found.flow_id) == (None,) * 5


def test_nothing_is_mended_inside_a_text() -> None:
    mid = "a,} b,] {{x}} :,"
    assert reading('{"status": "BUSY", "mid": "%s", "custom": "q\\", }",}' % mid).message_id == mid  # noqa: UP031


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
        # no fields at all
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
def test_what_does_not_parse_or_has_no_fields_is_unreadable(
    body: str | bytes, query: str, content_type: str
) -> None:
    found = read(body, query=query, content_type=content_type)
    assert isinstance(found, UnreadableCallback)
    assert found.reason
    assert "internal" not in found.reason


@pytest.mark.parametrize(
    ("body", "query"), [({"colour": "red"}, ""), ("colour=red", ""), ("", "colour"), ("{}", "a=b")]
)
def test_what_has_fields_is_a_reading_that_matches_nothing(body: Any, query: str) -> None:
    found = reading(body, query=query)
    assert (found.ids, found.to, found.provider_status) == ((), None, None)


# Values


def test_integers_beyond_64_bits_stay_text() -> None:
    found = reading('{"id": 123456789012345678901234567890, "mid": 18446744073709551615, "status": "BUSY"}')
    assert found.ids == ("123456789012345678901234567890",)
    assert found.message_id == "18446744073709551615"


def test_the_ids_are_in_the_order_of_their_sureness_and_each_once() -> None:
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
    assert reading(body, query=f"id={ID}").ids == (ID, "camel", "snake", "outgoing", "parent", "s", "f", "c")


def test_an_id_of_more_than_200_characters_is_none() -> None:
    assert reading({"id": "x" * 201, "call_id": "y" * 200, "status": "BUSY"}).ids == ("y" * 200,)


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
def test_our_own_reference_is_found_anywhere_and_is_no_id_of_theirs(body: Any) -> None:
    found = reading(body)
    assert found.references == (SUBMISSION,)
    assert found.ids == ()


@pytest.mark.parametrize(
    "text", [SUBMISSION + "x", "x" + SUBMISSION, SUBMISSION[:-1], "sub_", "call_" + SUBMISSION[4:]]
)
def test_what_only_looks_like_our_reference_is_none(text: str) -> None:
    assert reading({"custom": text}).references == ()


def test_the_accounts_own_names_go_first() -> None:
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
    found = reading(body, account={"callback_keys": keys})
    assert found.ids == ("right", "wrong", "campaign-7", "later")
    assert (found.to, found.bridge, found.flow_id, found.message_id) == ("+917619360003", "140", "9", "m")
    assert (found.provider_status, found.reason, found.duration_s) == ("MISSED", Reason.agent_no_answer, 16)
    assert found.started_at == datetime(2021, 4, 9, 10, 57, 39, tzinfo=UTC)
    assert found.ended_at == datetime(2021, 4, 9, 10, 57, 55, tzinfo=UTC)
    assert found.recording_url == "http://x/y"


def test_the_accounts_own_names_are_found_in_an_envelope_and_a_query() -> None:
    keys = {"id": "ref", "status": "state"}
    body = {"event": "voice:message:out", "payload": {"ref": "x"}}
    found = reading(body, query="state=BUSY", account={"callback_keys": keys})
    assert (found.ids, found.provider_status) == (("x",), "BUSY")


def test_without_the_accounts_own_names_the_default_push_is_read() -> None:
    found = reading(RECORD, account={"callback_keys": {"id": "ref", "status": "state"}})
    assert (found.ids, found.provider_status) == ((ID,), "BUSY")


def test_times_are_read_in_the_accounts_zone() -> None:
    found = reading({"start_at": "2021-04-09 16:27:39"}, account={"time_zone": ZoneInfo("UTC")})
    assert found.started_at == datetime(2021, 4, 9, 16, 27, 39, tzinfo=UTC)
    assert found.started_raw == "2021-04-09 16:27:39"


def test_the_agents_number_is_not_taken_for_the_bridge() -> None:
    assert reading({"from": 918919520002, "to": 918867130003}).bridge is None


def test_a_link_that_is_no_web_address_is_missing() -> None:
    assert reading({"recording_url": "javascript:alert(1)", "status": "BUSY"}).recording_url is None


@pytest.mark.parametrize("source", ["C2C", "c2c"])
def test_click_to_call_is_marked(source: str) -> None:
    assert reading({"source": source, "status": "COMPLETED"}).click_to_call
    assert not reading({"source": "OBD", "status": "COMPLETED"}).click_to_call


def test_nul_and_lone_surrogates_are_replaced() -> None:
    found = reading(
        r'{"id": "a\u0000b", "mid": "\ud800", "status": "BU\udfffSY", "recording_url": "http://\u0000"}'
    )
    assert found.ids == ("a\ufffdb",)
    assert (found.message_id, found.provider_status, found.recording_url) == (
        "\ufffd",
        "BU\ufffdSY",
        "http://\ufffd",
    )
    assert reading("id=a%00b%ff&status=BUSY").ids == ("a\ufffdb\ufffd",)


# Words


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
def test_their_word_becomes_ours(word: str, status: CallStatus | None, reason: Reason | None) -> None:
    found = reading({"id": ID, "status": word})
    assert (found.status, found.reason, found.provider_status) == (status, reason, word.strip())


# Not a call


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
def test_an_unsubscription_is_no_call(body: Any) -> None:
    assert read(body) == NotACall(reason="unsubscription")


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
def test_a_report_about_a_text_message_is_no_call(body: Any) -> None:
    assert read(body) == NotACall(reason="sms-report")


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
def test_a_call_is_not_taken_for_a_text_message(body: Any) -> None:
    assert reading(body).to == "+917619360003"


def test_another_channels_message_is_no_call() -> None:
    assert read({"event": "whatsapp:message:out", "payload": RECORD}) == NotACall(reason="other-channel")


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"challenge": "x", "validation_key": "y"}, "token=z"),
        ({"challenge": "x"}, "source=panel"),
        ("", "challenge=x&token=z"),
        ("challenge=x&validation_key=y", ""),
    ],
)
def test_a_handshake_that_comes_here_is_no_call(body: Any, query: str) -> None:
    assert read(body, query=query) == NotACall(reason="handshake")


def test_a_call_with_a_challenge_among_its_fields_is_a_call() -> None:
    assert reading({**RECORD, "challenge": "x"}).ids == (ID,)


# The handshake


@pytest.mark.parametrize(
    ("body", "query", "content_type", "handshake"),
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
        # the token of a query is `token`; a validation key there is only echoed
        (
            "",
            "challenge=c&validation_key=k&token=t",
            "",
            WebhookChallenge(challenge="c", validation_key="k", tokens=("t",)),
        ),
        ({"challenge": 17}, "", "application/json", WebhookChallenge(challenge="17", validation_key=None)),
    ],
)
def test_a_handshake(body: Any, query: str, content_type: str, handshake: WebhookChallenge) -> None:
    assert (
        provider.parse_webhook_challenge(incoming(body, query=query, content_type=content_type)) == handshake
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
def test_no_handshake(body: Any, query: str) -> None:
    assert provider.parse_webhook_challenge(incoming(body, query=query)) is None


# The secret


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
def test_the_secrets_that_a_request_presents(
    headers: tuple[tuple[bytes, bytes], ...], secrets: tuple[bytes, ...]
) -> None:
    assert provider.presented_secrets(headers) == secrets
