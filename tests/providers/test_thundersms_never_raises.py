"""Whatever is sent to the webhook is read, is not a call, or is unreadable: it never stops the reader.

And what is read can be stored: no text of it has a NUL or a lone surrogate, none is longer than its column, numbers
fit, times have a zone. An internal error is turned into Unreadable as well, so it is looked for by its reason.
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

from tests.providers.thundersms import account, incoming, payload, payload_names, provider
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


def check(request: CallbackRequest, keys: dict[str, str] | None = None) -> None:
    used = account(callback_keys=keys or {})
    found = provider.parse_callback(used, request)
    provider.parse_webhook_challenge(request)
    provider.presented_secrets(request.headers)
    if isinstance(found, CallReport):
        check_reading(found)
    else:
        assert isinstance(found, NotACall | UnreadableCallback)
        assert found.reason
        assert "internal" not in found.reason


def check_reading(found: CallReport) -> None:
    for field in fields(found):
        value = getattr(found, field.name)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                text.encode()  # raises for a lone surrogate
                assert "\x00" not in text
                assert 0 < len(text) <= 2000
            if isinstance(text, datetime):
                assert text.utcoffset() is not None
    assert all(len(i) <= 200 for i in (*found.ids, found.message_id or "", found.flow_id or ""))
    assert len(found.provider_status or "") <= 100
    assert found.duration_s is None or 0 <= found.duration_s < 2**31


@given(body=st.binary(max_size=300), query=st.binary(max_size=100), kind=st.binary(max_size=60))
def test_arbitrary_bytes(body: bytes, query: bytes, kind: bytes) -> None:
    check(
        CallbackRequest(method="POST", path=b"/", query=query, headers=((b"content-type", kind),), body=body)
    )


@given(fields=any_fields, kind=content_types, keys=configured)
def test_arbitrary_json_objects(fields: dict[str, Any], kind: str, keys: dict[str, str]) -> None:
    check(incoming(json.dumps(fields), content_type=kind), keys)


@given(value=any_json)
def test_arbitrary_json(value: Any) -> None:
    check(incoming(json.dumps(value)))


@given(
    body=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=10),
    query=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=5),
    kind=content_types,
    keys=configured,
)
def test_arbitrary_mixes_of_known_fields(
    body: dict[str, str], query: dict[str, str], kind: str, keys: dict[str, str]
) -> None:
    check(incoming(json.dumps(body), query=urlencode(query), content_type=kind), keys)
    check(incoming(urlencode(body), query=urlencode(query), content_type=kind), keys)


@given(data=st.data())
def test_documented_bodies_with_some_bytes_changed(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(payload_names("callback")))
    body = bytearray(payload(name)["body"].encode() or b"{}")
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    check(incoming(bytes(body), query=payload(name)["query"]))


@given(parts=st.lists(st.binary(max_size=40), max_size=5), end=st.sampled_from([b"--XX--", b"--XX", b""]))
def test_arbitrary_multipart(parts: list[bytes], end: bytes) -> None:
    head = b'--XX\r\nContent-Disposition: form-data; name="id"\r\n\r\n'
    body = b"".join(head + part + b"\r\n" for part in parts) + end
    check(incoming(body, content_type="multipart/form-data; boundary=XX"))
    check(incoming(body, content_type=""))


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
def test_bodies_made_to_be_slow_or_deep(body: bytes) -> None:
    check(incoming(body))


def test_a_mistake_of_ours_is_seen_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistake(*_: object) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(callback, "parse_callback", mistake)
    log = CapturingLogger()
    monkeypatch.setattr(thundersms, "log", log)
    assert provider.parse_callback(account(), incoming({})) == UnreadableCallback(
        reason="internal error: KeyError"
    )
    assert log.calls == [CapturedCall("exception", ("callback.read_failed",), {"account": "thundersms"})]
