"""The text of a timeline, a header and a list."""

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

START = datetime(2026, 11, 23, 18, 29, 40, 250000, tzinfo=UTC)


def make_call(**changed: Any) -> dict[str, Any]:
    """Return the document of a call."""
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


def make_event(after_s: float, **changed: Any) -> dict[str, Any]:
    """Return the document of an event so many seconds after START."""
    return {
        "id": f"ev_{after_s}", "submission": "sub_1", "type": "status", "status": "queued",
        "at": (START + timedelta(seconds=after_s)).isoformat().replace("+00:00", "Z"), "at_source": "tracker",
        "source": "sender", "provider_status": None, "reason": None, "matched_by": None, "callback": None, "detail": {},
        **changed,
    }  # fmt: skip


def plain_text(renderable: Any, width: int = 80) -> str:
    """Render without colours at this width."""
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, markup=False, emoji=False).print(renderable, crop=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def rendered(
    *events: dict[str, Any], width: int = 80, repeats: dict[str, int] | None = None, **of: Any
) -> str:
    return plain_text(timeline.render_timeline(make_call(**of), events, utc=True, repeats=repeats), width)


def test_timeline_reads_from_top_to_bottom() -> None:
    output = rendered(
        make_event(0, status="submitting"),
        make_event(1.1, provider_status="queued", detail={"submission_id": "b0208d4b-4635-426e-929b-3375fcbc0312:1"}),
        make_event(24, status="initiated", source="callback"),
        make_event(99, status="completed", source="callback", provider_status="ANSWER", matched_by="submission-id",
              detail={"duration_s": 75}),
    )  # fmt: skip
    assert (
        output
        == """
Monday, 23 November 2026 (UTC)
18:29:40          submitting  sender
18:29:41    + 1 s queued      sender   "queued",
                                       b0208d4b-4635-426e-929b-3375fcbc0312:1
18:30:04   + 23 s initiated   callback
18:31:19  + 1m15s completed   callback "ANSWER", 1 min 15 s, matched by
                                       submission-id"""
    )


def test_timeline_has_one_date_a_day() -> None:
    output = rendered(make_event(0), make_event(60), make_event(6 * 3600), make_event(6 * 3600 + 1))
    assert [line for line in output.splitlines() if "November" in line] == [
        "Monday, 23 November 2026 (UTC)",
        "Tuesday, 24 November 2026",
    ]


def test_timeline_names_the_zone_of_this_machine_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        output = plain_text(timeline.render_timeline(make_call(), [make_event(0), make_event(1)]))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "Monday, 23 November 2026 (UTC+05:30)" in output
    assert "23:59:40" in output
    assert "Tuesday" in plain_text(timeline.render_timeline(make_call(), [make_event(6 * 3600)], utc=True))


def test_timeline_shows_a_negative_gap() -> None:
    assert "- 5h30m" in rendered(make_event(0), make_event(-5.5 * 3600, status="busy"))


def test_timeline_names_attempts_when_there_are_several() -> None:
    several = [
        {"id": "sub_1", "number": 1, "trigger": "first"},
        {"id": "sub_2", "number": 2, "trigger": "operator"},
    ]
    output = rendered(make_event(0), make_event(5, submission="sub_2"), submissions=several)
    assert "attempt 1\n" in output
    assert "attempt 2, by hand\n" in output
    assert "attempt" not in rendered(make_event(0), make_event(5))


def test_timeline_shows_decisions_and_warnings() -> None:
    wait = {"decision": "wait", "until": "2026-11-24T03:30:00Z", "checked": {}}
    output = rendered(make_event(0, type="decision", status=None, reason="not-before", detail=wait))
    assert "wait        sender   not-before, until 24 Nov 03:30:00" in output
    assert "! zone" in rendered(make_event(0, type="warning", status=None, reason="zone", source="callback"))


def test_timeline_counts_repeats() -> None:
    assert "said 3 times" in rendered(make_event(0, callback="cb_1"), repeats={"cb_1": 2})
    assert "times" not in rendered(make_event(0, callback="cb_1"), repeats={"cb_1": 0})


def test_timeline_marks_a_time_of_receipt() -> None:
    assert "dated by its receipt" in rendered(make_event(0, source="callback", at_source="received"))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_only_addresses_are_wider_than_the_terminal(width: int) -> None:
    url = "https://recordings.example.com/" + "x" * 300
    output = rendered(make_event(0, provider_status="word " * 60, detail={"recording_url": url}), width=width)
    assert [line for line in output.splitlines() if len(line) > width] == [f"{'':18}recording {url}"]
    assert output.count("word") == 60
    header = plain_text(timeline.render_header(make_call(reference="r" * 200), utc=True), width)
    assert header.count("r" * 200) == 1
    assert timeline.render_recording(make_call()) is None


@pytest.mark.parametrize("width", [80, 200])
def test_table_moves_the_last_cell_below_when_it_is_long(width: int) -> None:
    table = render_call_list(
        [make_call(duration_s=75, attempts=2, reason="congestion"), make_call()], utc=True
    )
    titles, *lines = plain_text(table, width).splitlines()
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
    rows = plain_text(callbacks.render_callback_list([callback], utc=True, titles=False), width).splitlines()
    assert len(rows) == (2 if width == 80 else 1)
    assert "call_01m84ae1rw5018tnmt3w9x91g3 by submission-id, came 3 times" in rows[-1]


def test_timeline_names_the_callback_of_a_decision() -> None:
    detail = {"decision": "join", "callback": "cb_1", "from": None, "to": "sub_1"}
    output = rendered(
        make_event(0, type="decision", status=None, reason="operator", source="operator", detail=detail)
    )
    assert "join        operator cb_1" in output


def test_body_keeps_its_lines_at_every_width() -> None:
    body = '{"a": "' + "b" * 200 + '",\n\t"c": 1}'
    raw = {"method": "POST", "path": "/c", "query": "", "headers": [], "body": body, "body_encoding": "utf-8"}
    output = plain_text(Group(*render_raw_request(raw, "  ")), 60).splitlines()
    assert output == ["  POST /c", "", '  {"a": "' + "b" * 200 + '",', '          "c": 1}']


def test_header_shows_number_request_and_result() -> None:
    output = plain_text(timeline.render_header(make_call(reason="congestion", charges="0.5000"), utc=True))
    assert "busy (congestion)" in output
    assert "+918919525224 from 91806828, flow 24, account thundersms, reference order-42" in output
    assert "not answered, 1 attempt, charges 0.5000, settled" in output
    assert "contradict" in plain_text(timeline.render_header(make_call(disputed=True), utc=True))


def test_header_of_an_unsent_call_says_nothing_sent() -> None:
    """`attempts` also counts attempts that wait or did not pass the gate."""

    def header(requested_at: str | None, **changed: Any) -> str:
        submission = {"id": "sub_1", "number": 1, "requested_at": requested_at}
        return plain_text(timeline.render_header(make_call(submissions=[submission], **changed), utc=True))

    over = {"status": "canceled", "outcome": "canceled", "answered": False}
    assert "\nnothing sent, settled" in header(None, reason="not-allowed", **over)
    waits = {"status": "pending", "outcome": None, "answered": None, "settled": False}
    assert "\nnothing sent yet, not settled yet" in header(None, **waits)
    assert "not answered, 1 attempt, settled" in header("2026-11-23T18:29:40Z", **over)


def test_timeline_escapes_control_characters() -> None:
    output = rendered(make_event(0, provider_status="\x1b[31mX\r\n[bold]Y\u202e\x9b"))
    assert "\\x1b[31mX\\x0d\\x0a[bold]Y\\u202e\\x9b" in output.replace("\n", "").replace(" " * 39, "")


def test_timeline_says_nothing_twice() -> None:
    by_hand = rendered(make_event(0, status="canceled", source="operator", reason="operator", detail={}))
    assert by_hand.count("operator") == 1
    refused = rendered(
        make_event(0, status="rejected", detail={"http_status": 429, "message": "HTTP 429; Too many"})
    )
    assert refused.count("429") == 1
    unanswered = rendered(make_event(0, status="busy", source="callback", detail={"duration_s": 0}))
    assert "0 s" not in unanswered
    again = rendered(make_event(0, type="decision", status=None, detail={"decision": "new-submission"}))
    assert "again" in again


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("queued", ", queued, sent {at}, p-1"),
        ("unconfirmed", ", unconfirmed, may have been sent by {at}, p-1"),
        ("unknown", ", unknown, may have been sent by {at}, p-1"),
    ],
)
def test_candidate_is_shown_as_sent_only_when_certain(status: str, words: str) -> None:
    """A submission that waited in a backup has the time at which the backup was restored."""
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
    output = plain_text(callbacks.render_callback(callback, utc=True), 200)
    assert words.format(at=format_time("2026-03-02T10:57:40Z", utc=True)) in output
