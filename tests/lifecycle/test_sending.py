"""Sending: secrets that are readable only until they are sent, the pace, cancel and retry."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import RecordingProvider, accepted, error
from tracker.errors import Conflict, InvalidInput, NotFound
from tracker.lifecycle.services import build_services
from tracker.providers.base import HttpResponse
from tracker.store.calls.calls import lock_calls
from tracker.store.calls.secrets import load_secrets
from tracker.store.engine.database import Database
from tracker.store.schema import tables


def everything_stored(house: House) -> str:
    """All rows of all tables as text."""

    def work(c: Any) -> str:
        return "\n".join(
            str(tuple(row)) for table in tables.metadata.sorted_tables for row in c.execute(sa.select(table))
        )

    return house.database.read(work)


def test_a_secret_variable_reaches_the_provider_and_stays_nowhere(
    house: House, provider: RecordingProvider
) -> None:
    house.with_account(secret_variables=("otp",))
    call = house.place(variables={"Name": "Asha", "otp": "kx-839201"}, send=False)
    assert "kx-839201" in everything_stored(house)
    house.submit(house.submissions(call)[0].id)
    assert provider.sent[0].json()["variables[otp]"] == "kx-839201"
    stored = everything_stored(house)
    assert "kx-839201" not in stored
    assert "Asha" in stored
    house.receive(house.default_push("BUSY"))
    with pytest.raises(Conflict, match="otp"):
        house.program.call_actions.retry(call)


def test_a_secret_variable_is_kept_while_the_request_may_be_made_again(
    house: House, provider: RecordingProvider
) -> None:
    house.with_account(secret_variables=("otp",))
    provider.sends.append(error(429, "Too many", Retry_After="1"))
    call = house.place(variables={"otp": "kx-839201"})
    house.program.sender.resend(house.submissions(call)[0].id)
    house.submit(house.submissions(call)[1].id)
    assert [s.json()["variables[otp]"] for s in provider.sent] == ["kx-839201", "kx-839201"]
    assert "kx-839201" not in everything_stored(house)


def test_the_access_token_is_in_no_evidence(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(error(422, "a-token-of-the-account is not welcome"))
    house.place()
    assert provider.sent[0].headers["Authorization"] == "Bearer a-token-of-the-account"
    assert "a-token-of-the-account" not in everything_stored(house)


def test_the_pace_holds_over_several_processes(house: House, provider: RecordingProvider) -> None:
    """Ten calls at once, three processes, two a second: the moments are given away in the order of asking."""
    house.with_account(calls_per_second=2.0)
    programs = [build_services(house.database, house.program.accounts, house.clock) for _ in range(3)]
    placed = [programs[n % 3].placer.place({"to": NUMBER, "flow_id": "24"}) for n in range(10)]

    def all_try() -> None:
        for n, p in enumerate(placed):
            asyncio.run(programs[n % 3].sender.submit(p.submission))

    all_try()
    assert len(provider.sent) == 2
    due = [house.timeline(p.call).next_attempt_at for p in placed[2:]]
    assert due == sorted(due, key=str)
    seconds_of_windows = [
        round((b - a).total_seconds(), 3) for a, b in zip(due, due[2:], strict=False) if a and b
    ]
    assert seconds_of_windows == [1.0] * 6
    # all of them come late, at one moment, and still no second holds more than two
    for expected in (4, 6, 8, 10):
        house.clock.forward(seconds=30 if expected == 4 else 1.001)
        all_try()
        assert len(provider.sent) == expected


def test_a_slow_pace_and_a_fast_one(house: House, provider: RecordingProvider) -> None:
    house.with_account(calls_per_second=0.5)
    house.place()
    waits = house.timeline(house.place())
    assert (waits.status, waits.next_attempt_at is not None, len(provider.sent)) == ("pending", True, 1)
    house.with_account(calls_per_second=200.0)
    house.clock.forward(minutes=1)
    for _ in range(5):
        house.place()
    assert len(provider.sent) == 6


def test_canceling_what_was_not_sent_cancels_it(house: House, provider: RecordingProvider) -> None:
    call = house.place(send=False)
    submission = house.submissions(call)[0].id
    assert house.program.call_actions.cancel(call) is True
    house.submit(submission)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason, timeline.settled) == ("canceled", "operator", True)
    assert [e.type for e in house.events(call)] == ["decision", "status"]
    assert provider.sent == []
    with pytest.raises(Conflict):
        house.program.call_actions.cancel(call)


def test_canceling_what_was_sent_only_ends_further_attempts(house: House) -> None:
    call = house.place()
    assert house.program.call_actions.cancel(call) is False
    timeline = house.timeline(call)
    assert (timeline.status, timeline.cancel_requested, timeline.settled) == ("queued", True, False)
    house.receive(house.default_push("ANSWER"))
    assert house.timeline(call).outcome == "completed"


def test_retrying_by_hand(house: House, provider: RecordingProvider) -> None:
    call = house.place()
    with pytest.raises(Conflict, match="open"):
        house.program.call_actions.retry(call)
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    again = house.program.call_actions.retry(call).submission
    assert house.timeline(call).settled is False
    house.submit(again)
    assert len(provider.sent) == 2
    house.receive({"id": house.provider_id(call), "status": "ANSWER"})
    assert (house.timeline(call).outcome, house.timeline(call).attempts) == ("completed", 2)
    with pytest.raises(Conflict, match="answered"):
        house.program.call_actions.retry(call)
    house.program.call_actions.retry(call, force=True)
    with pytest.raises(NotFound):
        house.program.call_actions.retry("call_nobody")


def test_a_request_that_never_leaves_is_given_up(house: House) -> None:
    house.with_account(base_url="http://127.0.0.1:9/api/v2/")
    call = house.place()
    for _ in range(40):
        house.clock.forward(seconds=60)
        house.submit(house.submissions(call)[0].id)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason, timeline.settled) == ("failed", "provider-unreachable", True)


def test_too_many_requests_are_given_up(house: House, provider: RecordingProvider) -> None:
    provider.sends.extend(error(429, "Too many") for _ in range(60))
    call = house.place()
    for _ in range(60):
        house.clock.forward(seconds=61)
        latest = house.submissions(call)[-1]
        house.program.sender.resend(latest.id)
        house.submit(house.submissions(call)[-1].id)
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason, timeline.settled) == ("rejected", "rate-limited", True)
    assert 3 < timeline.attempts < 20


def test_canceling_while_it_never_leaves(house: House) -> None:
    house.with_account(base_url="http://127.0.0.1:9/api/v2/")
    call = house.place()
    assert house.program.call_actions.cancel(call) is True
    assert house.timeline(call).outcome == "canceled"


def test_with_an_interval_a_failed_record_leaves_the_call_open_and_an_answered_one_settles_it(
    house: House,
) -> None:
    call = house.place(interval=5)
    house.receive(house.default_push("BUSY", ago_s=700))
    timeline = house.timeline(call)
    assert (timeline.status, timeline.outcome, timeline.settled) == ("busy", None, False)
    house.receive(house.default_push("ANSWER", ago_s=1))
    timeline = house.timeline(call)
    assert (timeline.outcome, timeline.settled, timeline.disputed) == ("completed", True, False)
    assert house.statuses(call)[-4:] == ["initiated", "busy", "initiated", "completed"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        (
            {"to": "91886713XXXX", "audio": "ftp://x", "interval": 7, "bogus": 1},
            {"to", "audio", "interval", "bogus"},
        ),
        ({"flow_id": "1"}, {"to"}),
        ({"to": NUMBER}, {"flow_id"}),
        ({"to": NUMBER, "flow_id": "1", "audio": "http://a.example/b.mp3"}, {"audio"}),
        ({"to": NUMBER, "flow_id": "1", "variables": {"1x": "a"}}, {"variables"}),
        ({"to": NUMBER, "flow_id": "1", "not_before": "2026-01-01T00:00:00"}, {"not_before"}),
        ({"to": NUMBER, "flow_id": "1", "reference": "x" * 201}, {"reference"}),
        ({"to": NUMBER, "flow_id": "1", "rule": "default", "policy": "x"}, {"rule", "policy"}),
        ({"to": NUMBER, "flow_id": "1", "account": "nobody"}, {"account"}),
        ({"to": "12345", "flow_id": "1", "bridge": "12"}, {"to", "bridge"}),
    ],
)
def test_every_wrong_field_is_named_and_nothing_is_stored(
    house: House, fields: dict[str, Any], wrong: set[str]
) -> None:
    before = everything_stored(house)
    with pytest.raises(InvalidInput) as raised:
        house.program.placer.place(fields)
    assert {e.field for e in raised.value.errors} == wrong
    assert everything_stored(house) == before


def test_an_answer_that_comes_after_the_lease_is_still_recorded(house: House) -> None:
    call = house.place(send=False)
    claim = house.program.sender.claim(house.submissions(call)[0].id)
    assert claim is not None
    house.clock.forward(seconds=60)
    house.program.sender.end_leases()
    assert house.timeline(call).status == "unconfirmed"
    reply = HttpResponse(status=200, headers=(), body=accepted("late-id").body)
    house.program.sender.answered(claim, reply, house.clock() - timedelta(seconds=60))
    assert house.timeline(call).status == "queued"
    assert house.provider_id(call) == "late-id"


def test_evidence_of_sending_is_kept(house: House) -> None:
    call = house.place()

    def work(c: Any) -> list[Any]:
        return list(c.execute(sa.select(tables.exchanges).where(tables.exchanges.c.call_id == call)))

    (row,) = house.database.read(work)
    assert (row.kind, row.status, row.method) == ("send", 200, "POST")
    assert json.loads(row.request_body)["to"] == NUMBER.lstrip("+")
    assert b"Bearer a-" not in row.request_headers
    assert b"Authorization: ***\r\n" in row.request_headers
    assert house.database.read(lambda c: load_secrets(c, call)) == {}


def test_the_name_of_a_sender_can_stand_in_a_log(house: House) -> None:
    """A tail of digits alone would be masked there like a telephone number."""
    for _ in range(50):
        owner = build_services(house.database, house.program.accounts).sender.owner
        assert owner.rpartition("-")[2].isalpha()


def test_answer_is_dated_by_the_clock_after_the_locks(
    postgres_database: str, provider: RecordingProvider
) -> None:
    """Not when it came: it may wait for a lock, and a client that asks what changed has seen later changes by then."""
    house = House(postgres_database, provider.base_url)
    call = house.place(send=False)
    claim = house.program.sender.claim(house.submissions(call)[0].id)
    assert claim is not None
    came_at = house.clock()
    reply = HttpResponse(status=200, headers=(), body=accepted("an-id").body)
    answering = threading.Thread(target=house.program.sender.answered, args=(claim, reply, came_at))
    with closing(Database(postgres_database)) as database, database.engine.begin() as other:
        lock_calls(other, [call])
        answering.start()
        answering.join(0.5)
        assert answering.is_alive()
        house.clock.forward(seconds=60)
    answering.join(20)
    with house.database.engine.connect() as c:
        changed_at = c.scalar(sa.select(tables.calls.c.updated_at).where(tables.calls.c.id == call))
    assert changed_at is not None
    assert changed_at - came_at >= timedelta(seconds=60)
    assert house.events(call)[-1].at < changed_at - timedelta(seconds=50)
    house.close()
