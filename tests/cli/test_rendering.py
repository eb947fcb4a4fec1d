"""A timeline as people read it."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console, Group

from tracker.cli.output import callbacks, timeline
from tracker.cli.output.call_list import render_call_list
from tracker.cli.output.formatting import format_time
from tracker.cli.output.raw_http import render_raw_request
from tracker.cli.output.text import escape_control
from tracker.domain.time_text import format_duration

START = datetime(2026, 11, 23, 18, 29, 40, 250000, tzinfo=UTC)


def call(**changed: Any) -> dict[str, Any]:
    submission = {
        "id": "sub_1",
        "number": 1,
        "trigger": "first",
        "status": "busy",
        "outcome": "busy",
        "submission_id": "x",
    }
    return {
        "id": "call_01m84ae1rw5018tnmt3w9x91g3", "account": "thundersms", "to": "+918919525224", "bridge": "91806828",
        "flow_id": "24", "audio": None, "campaign": None, "reference": "order-42", "status": "busy", "outcome": "busy",
        "reason": None, "settled": True, "disputed": False, "answered": False, "attempts": 1, "duration_s": None,
        "next_attempt_at": None, "cancel_requested": False, "charges": None, "dtmf": None, "submissions": [submission],
        "created_at": "2026-11-23T18:29:40Z", **changed,
    }  # fmt: skip


def event(after_s: float, **changed: Any) -> dict[str, Any]:
    return {
        "id": f"ev_{after_s}", "submission": "sub_1", "type": "status", "status": "queued",
        "at": (START + timedelta(seconds=after_s)).isoformat().replace("+00:00", "Z"), "at_source": "tracker",
        "source": "sender", "provider_status": None, "reason": None, "matched_by": None, "callback": None, "detail": {},
        **changed,
    }  # fmt: skip


def text(renderable: Any, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, markup=False, emoji=False).print(renderable, crop=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def told(*events: dict[str, Any], width: int = 80, repeats: dict[str, int] | None = None, **of: Any) -> str:
    return text(timeline.render_timeline(call(**of), events, utc=True, repeats=repeats), width)


def test_it_reads_from_top_to_bottom() -> None:
    read = told(
        event(0, status="submitting"),
        event(1.1, provider_status="queued", detail={"submission_id": "b0208d4b-4635-426e-929b-3375fcbc0312:1"}),
        event(24, status="initiated", source="callback"),
        event(99, status="completed", source="callback", provider_status="ANSWER", matched_by="submission-id",
              detail={"duration_s": 75}),
    )  # fmt: skip
    assert (
        read
        == """
Monday, 23 November 2026 (UTC)
18:29:40          submitting  sender
18:29:41    + 1 s queued      sender   "queued",
                                       b0208d4b-4635-426e-929b-3375fcbc0312:1
18:30:04   + 23 s initiated   callback
18:31:19  + 1m15s completed   callback "ANSWER", 1 min 15 s, matched by
                                       submission-id"""
    )


def test_a_date_stands_once_a_day() -> None:
    read = told(event(0), event(60), event(6 * 3600), event(6 * 3600 + 1))
    assert [line for line in read.splitlines() if "November" in line] == [
        "Monday, 23 November 2026 (UTC)",
        "Tuesday, 24 November 2026",
    ]


def test_the_zone_is_told_once_and_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        read = text(timeline.render_timeline(call(), [event(0), event(1)]))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "Monday, 23 November 2026 (UTC+05:30)" in read
    assert "23:59:40" in read
    assert "Tuesday" in text(timeline.render_timeline(call(), [event(6 * 3600)], utc=True))


def test_an_event_that_is_dated_earlier_says_so() -> None:
    assert "- 5h30m" in told(event(0), event(-5.5 * 3600, status="busy"))


def test_each_attempt_has_its_line_where_there_are_several() -> None:
    several = [
        {"id": "sub_1", "number": 1, "trigger": "first"},
        {"id": "sub_2", "number": 2, "trigger": "operator"},
    ]
    read = told(event(0), event(5, submission="sub_2"), submissions=several)
    assert "attempt 1\n" in read
    assert "attempt 2, by hand\n" in read
    assert "attempt" not in told(event(0), event(5))


def test_decisions_and_warnings_say_what_and_why() -> None:
    wait = {"decision": "wait", "until": "2026-11-24T03:30:00Z", "checked": {}}
    read = told(event(0, type="decision", status=None, reason="not-before", detail=wait))
    assert "wait        sender   not-before, until 24 Nov 03:30:00" in read
    assert "! zone" in told(event(0, type="warning", status=None, reason="zone", source="callback"))


def test_what_came_again_is_counted() -> None:
    assert "said 3 times" in told(event(0, callback="cb_1"), repeats={"cb_1": 2})
    assert "times" not in told(event(0, callback="cb_1"), repeats={"cb_1": 0})


def test_a_time_of_receipt_is_not_taken_for_the_provider_s() -> None:
    assert "dated by its receipt" in told(event(0, source="callback", at_source="received"))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal_but_an_address_which_is_not_broken(width: int) -> None:
    url = "https://recordings.example.com/" + "x" * 300
    read = told(event(0, provider_status="word " * 60, detail={"recording_url": url}), width=width)
    assert [line for line in read.splitlines() if len(line) > width] == [f"{'':18}recording {url}"]
    assert read.count("word") == 60
    header = text(timeline.render_header(call(reference="r" * 200), utc=True), width)
    assert header.count("r" * 200) == 1
    assert timeline.render_recording(call()) is None


@pytest.mark.parametrize("width", [80, 200])
def test_an_id_in_a_table_is_never_broken_and_what_does_not_fit_stands_below(width: int) -> None:
    table = render_call_list([call(duration_s=75, attempts=2, reason="congestion"), call()], utc=True)
    titles, *lines = text(table, width).splitlines()
    assert titles.split() == ["call", "UTC", "to", "status"]
    assert all(len(line) <= width for line in lines)
    assert [line.count("call_01m84ae1rw5018tnmt3w9x91g3") for line in lines] == (
        [1, 0, 1] if width == 80 else [1, 1]
    )
    assert "busy, 1 min 15 s, congestion, attempt 2" in lines[1 if width == 80 else 0]
    callback = {
        "id": "cb_01m84ae1rw5018tnmt3w9x91g3", "received_at": "2026-11-23T18:29:40Z", "state": "joined",
        "call": "call_01m84ae1rw5018tnmt3w9x91g3", "matched_by": "submission-id", "repeats": 2,
    }  # fmt: skip
    rows = text(callbacks.render_callback_list([callback], utc=True, titles=False), width).splitlines()
    assert len(rows) == (2 if width == 80 else 1)
    assert "call_01m84ae1rw5018tnmt3w9x91g3 by submission-id, came 3 times" in rows[-1]


def test_a_decision_about_a_callback_names_it() -> None:
    detail = {"decision": "join", "callback": "cb_1", "from": None, "to": "sub_1"}
    read = told(event(0, type="decision", status=None, reason="operator", source="operator", detail=detail))
    assert "join        operator cb_1" in read


def test_a_body_is_shown_in_its_own_lines_whatever_the_width() -> None:
    body = '{"a": "' + "b" * 200 + '",\n\t"c": 1}'
    raw = {"method": "POST", "path": "/c", "query": "", "headers": [], "body": body, "body_encoding": "utf-8"}
    read = text(Group(*render_raw_request(raw, "  ")), 60).splitlines()
    assert read == ["  POST /c", "", '  {"a": "' + "b" * 200 + '",', '          "c": 1}']


def test_the_header_says_who_what_and_how_it_ended() -> None:
    read = text(timeline.render_header(call(reason="congestion", charges="0.5000"), utc=True))
    assert "busy (congestion)" in read
    assert "+918919525224 from 91806828, flow 24, account thundersms, reference order-42" in read
    assert "not answered, 1 attempt, charges 0.5000, settled" in read
    assert "contradict" in text(timeline.render_header(call(disputed=True), utc=True))


def test_a_call_of_which_nothing_left_is_not_said_to_be_unanswered() -> None:
    """`attempts` counts what waits and what did not pass the gate, too."""

    def header(requested_at: str | None, **changed: Any) -> str:
        submission = {"id": "sub_1", "number": 1, "requested_at": requested_at}
        return text(timeline.render_header(call(submissions=[submission], **changed), utc=True))

    over = {"status": "canceled", "outcome": "canceled", "answered": False}
    assert "\nnothing sent, settled" in header(None, reason="not-allowed", **over)
    waits = {"status": "pending", "outcome": None, "answered": None, "settled": False}
    assert "\nnothing sent yet, not settled yet" in header(None, **waits)
    assert "not answered, 1 attempt, settled" in header("2026-11-23T18:29:40Z", **over)


def test_a_stranger_s_text_is_shown_and_not_obeyed() -> None:
    read = told(event(0, provider_status="\x1b[31mX\r\n[bold]Y\u202e\x9b"))
    assert "\\x1b[31mX\\x0d\\x0a[bold]Y\\u202e\\x9b" in read.replace("\n", "").replace(" " * 39, "")


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("ä – 電話", "ä – 電話"),
        ("a\tb\nc", "a\\x09b\\x0ac"),
        ("\U000e0001", "\\U000e0001"),
        ("\ud800", "\\ud800"),
    ],
)
def test_text_stays_readable(given: str, seen: str) -> None:
    assert escape_control(given) == seen


def test_lines_stay_where_they_are_wanted() -> None:
    assert escape_control("a\tb\nc\r\x00", lines=True) == "a\tb\nc\\x0d\\x00"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (75, "1 min 15 s"), (3600, "1 h"), (5.5 * 3600, "5 h 30 min"),
     (86400 + 60, "1 d"), (3 * 86400 + 7200, "3 d 2 h")],
)  # fmt: skip
def test_a_length_of_time_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


def test_nothing_is_said_twice_and_nothing_empty_is_said() -> None:
    by_hand = told(event(0, status="canceled", source="operator", reason="operator", detail={}))
    assert by_hand.count("operator") == 1
    refused = told(event(0, status="rejected", detail={"http_status": 429, "message": "HTTP 429; Too many"}))
    assert refused.count("429") == 1
    unanswered = told(event(0, status="busy", source="callback", detail={"duration_s": 0}))
    assert "0 s" not in unanswered
    again = told(event(0, type="decision", status=None, detail={"decision": "new-submission"}))
    assert "again" in again


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("queued", ", queued, sent {at}, p-1"),
        ("unconfirmed", ", unconfirmed, may have been sent by {at}, p-1"),
        ("unknown", ", unknown, may have been sent by {at}, p-1"),
    ],
)
def test_a_candidate_is_said_to_be_sent_only_where_that_is_known(status: str, words: str) -> None:
    """One that waited when a backup was made has the time at which that backup was restored."""
    candidate = {
        "submission": "sub_1", "call": "call_1", "submission_id": "p-1", "status": status,
        "requested_at": "2026-03-02T10:57:40Z",
    }  # fmt: skip
    raw: dict[str, Any] = {
        "method": "POST", "path": "/callbacks/thundersms", "query": "", "headers": [], "body": "", "remote": None,
        "body_encoding": "utf-8",
    }  # fmt: skip
    callback = {
        "id": "cb_1", "state": "orphaned", "reason": "ambiguous", "received_at": "2026-03-02T10:58:19Z",
        "account": "thundersms", "method": "POST", "size": 0, "candidates": [candidate], "request": raw,
    }  # fmt: skip
    told = text(callbacks.render_callback(callback, utc=True), 200)
    assert words.format(at=format_time("2026-03-02T10:57:40Z", utc=True)) in told
