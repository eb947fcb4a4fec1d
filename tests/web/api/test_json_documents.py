"""The JSON documents of the interface: their keys, times and bodies."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.serving import Serving
from tracker.domain.time_text import iso
from tracker.web.api.documents import plain, to_json

CALL = [
    "id", "account", "to", "bridge", "flow_id", "audio", "variables", "metadata", "name", "interval", "webhook_id",
    "campaign", "reference", "rule", "policy", "not_before", "not_after", "status", "outcome", "reason", "settled",
    "disputed", "answered", "attempts", "duration_s", "started_at", "ended_at", "next_attempt_at", "cancel_requested",
    "recording_url", "dtmf", "charges", "created_at", "updated_at", "submissions",
]  # fmt: skip
SUBMISSION = [
    "id", "number", "trigger", "status", "outcome", "submission_id", "lane", "requested_at", "accepted_at",
]  # fmt: skip
EVENT = [
    "id", "position", "call", "submission", "type", "status", "at", "at_source", "recorded_at", "source",
    "provider_status", "reason", "matched_by", "callback", "detail",
]  # fmt: skip
CALLBACK = [
    "id", "account", "lane", "state", "reason", "received_at", "method", "size", "repeats", "repeat_of", "matched_by",
    "call", "submission",
]  # fmt: skip


def test_documents_have_every_key_at_every_time(serving: Serving) -> None:
    pending = serving.place(not_before="2099-01-01T00:00:00Z")
    call = serving.place()
    serving.callback({"id": call["submissions"][0]["submission_id"], "status": "ANSWER", "duration": "23"})
    settled = serving.settled(call["id"])
    for each in (pending, settled):
        assert (list(each), list(each["submissions"][0])) == (CALL, SUBMISSION)
    events = serving.get(f"/calls/{call['id']}/timeline")["data"]
    assert {tuple(event) for event in events} == {tuple(EVENT)}
    # our own acts name no clock
    assert (events[0]["type"], events[0]["at_source"], events[0]["position"]) == ("decision", None, None)
    (callback,) = serving.get("/callbacks")["data"]
    assert list(callback) == CALLBACK
    details = serving.get(f"/callbacks/{callback['id']}")
    assert list(details) == [*CALLBACK, "fingerprint", "candidates", "request"]
    evidence = serving.get(f"/calls/{call['id']}/evidence")
    assert list(evidence) == ["call", "exchanges", "callbacks", "decisions", "withdrawn"]
    assert list(evidence["exchanges"][0]) == [
        "id", "kind", "submission", "requested_at", "answered_at", "request", "reply", "failure",
    ]  # fmt: skip
    assert list(evidence["callbacks"][0]) == [*CALLBACK, "request"]


@pytest.mark.parametrize(
    ("body", "text", "encoding"),
    [
        (b"", "", "utf-8"),
        ("नमस्ते\x00".encode(), "नमस्ते\x00", "utf-8"),
        (b"\xff\x00", base64.b64encode(b"\xff\x00").decode(), "base64"),
    ],
)
def test_raw_body_is_text_or_base64(serving: Serving, body: bytes, text: str, encoding: str) -> None:
    serving.callback(body)
    (callback,) = serving.get("/callbacks")["data"]
    request = serving.get(f"/callbacks/{callback['id']}")["request"]
    assert (request["body"], request["body_encoding"]) == (text, encoding)
    assert request["path"] == "/callbacks/thundersms"


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 -- hypothesis adds it
def test_json_times_are_those_of_iso(at: datetime) -> None:
    for each in (at, at.replace(microsecond=0)):
        assert json.loads(to_json({"at": each})) == plain({"at": each}) == {"at": iso(each)}
