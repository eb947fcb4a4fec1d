"""Tests that any request to the webhook is parsed, or refused with a reason, without an exception.

Every parsed value can be stored: no text has a NUL or a lone surrogate or is longer than its column, numbers fit, times
have a zone. `parse_callback` turns an internal error into an UnreadableCallback, so the tests look for its reason.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import CapturedCall, CapturingLogger

from tests.providers.thundersms.factories import (
    load_payload,
    make_account,
    make_callback,
    payload_names,
    provider,
)
from tracker.domain.call_reports import CallReport, NotACall, UnreadableCallback
from tracker.providers import thundersms
from tracker.providers.base import CallbackRequest
from tracker.providers.thundersms import callback

KEYS = [
    *(
        "id",
        "call_id",
        "callId",
        "outgoing",
        "outgoing.id",
        "parent_id",
        "submission",
        "custom",
        "mid",
        "to",
        "mobile",
    ),
    *(
        "bridge",
        "flow_id",
        "status",
        "message_status",
        "start_at",
        "end",
        "duration",
        "recording_url",
        "source",
    ),
    *(
        "dtmf",
        "charges",
        "event",
        "payload",
        "channel",
        "challenge",
        "validation_key",
        "receiver",
        "type",
        "value",
    ),
    *("a.b.c", ".", "..", "x[y][z]", ""),
]
VALUES = [
    *("BUSY", "DELIVRD", "queued", "C2C", "918867130003", "2021-04-09 16:27:39", "0000-00-00 00:00:00", "23"),
    *(
        "9999-12-31 23:59:59",
        "{{id}}",
        "https://x/y",
        "sub_01jd3x4k5m6n7p8q9r0s1t2v3w",
        "voice:message:out",
        "00:00:19",
    ),
]
any_text = st.text(st.characters(exclude_categories=()), max_size=30)
scalars = (
    st.sampled_from(VALUES)
    | any_text
    | st.integers()
    | st.integers(10**18, 10**40)
    | st.floats()
    | st.booleans()
    | st.none()
)
any_json = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | any_text, inner, max_size=6)
    ),
    max_leaves=15,
)
any_fields = st.dictionaries(st.sampled_from(KEYS) | any_text, any_json, max_size=10)
content_types = st.sampled_from(
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=XX",
        "text/html",
        "",
        ";;=",
    ]
)
key_names = st.sampled_from(
    ["id", "submission", "to", "bridge", "status", "start_at", "duration", "mid", "flow_id"]
)
configured = st.dictionaries(key_names, st.sampled_from(KEYS) | any_text, max_size=4)


def assert_handled(request: CallbackRequest, keys: dict[str, str] | None = None) -> None:
    account = make_account(callback_keys=keys or {})
    parsed = provider.parse_callback(account, request)
    provider.parse_webhook_challenge(request)
    provider.presented_secrets(request.headers)
    if isinstance(parsed, CallReport):
        assert_storable(parsed)
    else:
        assert isinstance(parsed, NotACall | UnreadableCallback)
        assert parsed.reason
        assert "internal" not in parsed.reason


def assert_storable(report: CallReport) -> None:
    for field in fields(report):
        value = getattr(report, field.name)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                text.encode()  # raises for a lone surrogate
                assert "\x00" not in text
                assert 0 < len(text) <= 2000
            if isinstance(text, datetime):
                assert text.utcoffset() is not None
    assert all(len(i) <= 200 for i in (*report.ids, report.message_id or "", report.flow_id or ""))
    assert len(report.provider_status or "") <= 100
    assert report.duration_s is None or 0 <= report.duration_s < 2**31


@given(body=st.binary(max_size=300), query=st.binary(max_size=100), content_type=st.binary(max_size=60))
def test_any_bytes_are_handled(body: bytes, query: bytes, content_type: bytes) -> None:
    assert_handled(
        CallbackRequest(
            method="POST", path=b"/", query=query, headers=((b"content-type", content_type),), body=body
        )
    )


@given(fields=any_fields, content_type=content_types, keys=configured)
def test_any_json_object_is_handled(fields: dict[str, Any], content_type: str, keys: dict[str, str]) -> None:
    assert_handled(make_callback(json.dumps(fields), content_type=content_type), keys)


@given(value=any_json)
def test_any_json_is_handled(value: Any) -> None:
    assert_handled(make_callback(json.dumps(value)))


@given(
    body=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=10),
    query=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=5),
    content_type=content_types,
    keys=configured,
)
def test_any_mix_of_known_fields_is_handled(
    body: dict[str, str], query: dict[str, str], content_type: str, keys: dict[str, str]
) -> None:
    assert_handled(make_callback(json.dumps(body), query=urlencode(query), content_type=content_type), keys)
    assert_handled(make_callback(urlencode(body), query=urlencode(query), content_type=content_type), keys)


@given(data=st.data())
def test_documented_body_with_changed_bytes_is_handled(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(payload_names("callback")))
    body = bytearray(load_payload(name)["body"].encode() or b"{}")
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert_handled(make_callback(bytes(body), query=load_payload(name)["query"]))


@given(parts=st.lists(st.binary(max_size=40), max_size=5), end=st.sampled_from([b"--XX--", b"--XX", b""]))
def test_any_multipart_body_is_handled(parts: list[bytes], end: bytes) -> None:
    head = b'--XX\r\nContent-Disposition: form-data; name="id"\r\n\r\n'
    body = b"".join(head + part + b"\r\n" for part in parts) + end
    assert_handled(make_callback(body, content_type="multipart/form-data; boundary=XX"))
    assert_handled(make_callback(body, content_type=""))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"a":"' + b'\\"' * 200_000,
        b'{"a":' + b"{{" * 200_000,
        b'{"a":1,' + b" ," * 200_000,
        b'{"id":' + b"9" * 1_000_000 + b"}",
        b"a=1&" * 200_000,
        b"%" * 1_000_000,
        b'{"status":"' + b"x" * 1_000_000 + b'"}',
        b'{"to":"' + b"1" * 1_000_000 + b'"}',
        b'{"start_at":"' + b"0" * 1_000_000 + b'"}',
        b"--" + b"x" * 1_000_000,
    ],
    ids=lambda body: body[:12].decode() + "…",
)
def test_hostile_body_is_handled_quickly(body: bytes) -> None:
    assert_handled(make_callback(body))


def test_internal_error_is_logged_and_makes_it_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(callback, "parse_callback", fail)
    log = CapturingLogger()
    monkeypatch.setattr(thundersms, "log", log)
    assert provider.parse_callback(make_account(), make_callback({})) == UnreadableCallback(
        reason="internal error: KeyError"
    )
    assert log.calls == [CapturedCall("exception", ("callback.parse_failed",), {"account": "thundersms"})]
