"""Tests that a submission is sent once, and that its response is recorded once, whatever fails in between."""

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
from tests.recording_provider import RecordingProvider, Told, accepted, error
from tracker.errors import StorageUnavailable
from tracker.lifecycle.sending.claim import Claim
from tracker.lifecycle.services import build_services
from tracker.providers.base import ExchangeFailure, HttpResponse
from tracker.store.calls.calls import lock_calls
from tracker.store.calls.secrets import load_secrets
from tracker.store.engine.database import Database
from tracker.store.schema import tables

ID = "3b69aca9-3b55-4e2d-bfe0-02b910dbe156"
ACCEPTED = HttpResponse(status=200, headers=(), body=accepted(ID).body)
NEVER_LEFT = ExchangeFailure(never_left=True, message="ConnectError")


def let_writes_fail(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Let the next transactions fail after the request has left."""
    real, left = house.database.write, [times]

    def write(work: Any) -> Any:
        if left[0] and provider.sent:
            left[0] -= 1
            raise StorageUnavailable("away for a moment")
        return real(work)

    monkeypatch.setattr(house.database, "write", write)


def test_response_is_recorded_when_the_database_is_back(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.with_sender(record_pauses_s=(0.01,))
    call = house.place(send=False)
    let_writes_fail(house, provider, monkeypatch, 3)
    house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).status == "queued"
    assert len(provider.sent) == 1


def test_lost_response_makes_the_submission_unconfirmed(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.with_sender(record_for_s=0.1, record_pauses_s=(0.01,))
    call = house.place(send=False)
    with monkeypatch.context() as broken:
        let_writes_fail(house, provider, broken, 10_000)
        with pytest.raises(StorageUnavailable):
            house.submit(house.submissions(call)[0].id)
    house.clock.forward(minutes=5)
    house.program.sender.end_leases()
    assert (house.timeline(call).status, house.timeline(call).reason) == ("unconfirmed", "sender-lost")


def test_response_of_an_unseen_commit_is_recorded_once(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke at the commit, which succeeded. The request never left, and another sender has claimed the
    submission meanwhile: recording the response again must not take the claim from it."""
    house.with_sender(record_pauses_s=(0.01,))
    call, claim = house.claim()
    real = house.database.write
    second: list[Claim | None] = []

    def commit_and_fail(work: Any) -> Any:
        real(work)
        monkeypatch.setattr(house.database, "write", real)
        house.clock.forward(seconds=3)
        second.append(house.program.sender.claim(claim.submission.id))
        raise StorageUnavailable("the connection was lost")

    monkeypatch.setattr(house.database, "write", commit_and_fail)
    asyncio.run(house.program.sender.record_until_stored(claim, NEVER_LEFT, house.clock()))
    assert second[0] is not None
    (submission,) = house.submissions(call)
    assert (submission.status, submission.owner) == ("submitting", house.program.sender.owner)
    assert house.program.sender.claim(submission.id) is None
    assert provider.sent == []


def test_response_after_the_lease_is_recorded(house: House) -> None:
    call, claim = house.claim()
    house.clock.forward(seconds=60)
    house.program.sender.end_leases()
    assert house.timeline(call).status == "unconfirmed"
    house.program.sender.record_response(claim, ACCEPTED, house.clock() - timedelta(seconds=60))
    assert house.timeline(call).status == "queued"
    assert house.provider_id(call) == ID


def test_response_is_dated_after_the_locks(postgres_database: str, provider: RecordingProvider) -> None:
    """It may wait for a lock, and a client that polls for changes has seen later ones by then."""
    with closing(House(postgres_database, provider.base_url)) as house:
        call, claim = house.claim()
        came_at = house.clock()
        recording = threading.Thread(
            target=house.program.sender.record_response, args=(claim, ACCEPTED, came_at)
        )
        with closing(Database(postgres_database)) as database, database.engine.begin() as other:
            lock_calls(other, [call])
            recording.start()
            recording.join(0.5)
            assert recording.is_alive()
            house.clock.forward(seconds=60)
        recording.join(20)
        with house.database.engine.connect() as c:
            changed_at = c.scalar(sa.select(tables.calls.c.updated_at).where(tables.calls.c.id == call))
        assert changed_at is not None
        assert changed_at - came_at >= timedelta(seconds=60)
        assert house.events(call)[-1].at < changed_at - timedelta(seconds=50)


def test_unclear_answer_is_not_sent_again(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(error(500, "oops"))
    call = house.place()
    assert house.timeline(call).status == "unconfirmed"
    house.submit(house.submissions(call)[0].id)
    assert len(provider.sent) == 1
    house.receive(house.default_push("ANSWER"))
    assert house.timeline(call).status == "completed"


def test_hanging_provider_gets_one_request(house: House, provider: RecordingProvider) -> None:
    house.with_account(timeout_s=0.3)
    provider.sends.append(Told(hang_s=1.0))
    call = house.place()
    assert house.timeline(call).reason == "no-clear-answer"
    assert len(provider.sent) == 1


def test_request_that_cannot_be_built_leaves_the_call_pending(
    house: House, provider: RecordingProvider
) -> None:
    """A mistake of ours before the first byte leaves no doubt about the phone."""
    house.with_account(extra={"too-large-for-json": 2**70})
    call = house.place(send=False)
    with pytest.raises(TypeError):
        house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).status == "pending"
    house.with_account(extra={})
    house.submit(house.submissions(call)[0].id)
    assert house.timeline(call).status == "queued"
    assert len(provider.sent) == 1


def test_exchange_is_kept_as_evidence(house: House) -> None:
    call = house.place()
    with house.database.engine.connect() as c:
        exchanges = tables.exchanges
        (row,) = c.execute(sa.select(exchanges).where(exchanges.c.call_id == call))
    assert (row.kind, row.status, row.method) == ("send", 200, "POST")
    assert json.loads(row.request_body)["to"] == NUMBER.lstrip("+")
    assert b"Bearer a-" not in row.request_headers
    assert b"Authorization: ***\r\n" in row.request_headers
    assert house.database.read(lambda c: load_secrets(c, call)) == {}


def test_owner_ends_in_letters(house: House) -> None:
    """The log would mask digits as a telephone number."""
    for _ in range(50):
        owner = build_services(house.database, house.program.accounts).sender.owner
        assert owner.rpartition("-")[2].isalpha()
