"""Promise: no phone rings twice by accident.

At most one request reaches the provider per submission, through crashes, restarts, several workers, and repeated
requests with the same Idempotency-Key.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import RecordingProvider, Told, error
from tracker.errors import Conflict, IdempotencyConflict
from tracker.lifecycle.services import Services, build_services


def others(house: House, count: int) -> list[Services]:
    """More processes over the same database, as far as the database can tell."""
    return [build_services(house.database, house.program.accounts, house.clock) for _ in range(count)]


def test_many_who_would_send_one_submission_send_it_once(house: House, provider: RecordingProvider) -> None:
    for _ in range(5):
        provider.seen.clear()
        call = house.place(send=False)
        submission = house.submissions(call)[0].id
        start = threading.Barrier(6)

        def send(program: Services, submission: str = submission, start: threading.Barrier = start) -> None:
            start.wait()
            asyncio.run(program.sender.submit(submission))

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(send, others(house, 6)))
        assert len(provider.sent) == 1
        assert house.statuses(call) == ["submitting", "queued"]


def test_what_a_lost_sender_left_behind_is_unconfirmed_and_not_sent_again(
    house: House, provider: RecordingProvider
) -> None:
    """It died after its commit: nobody knows whether the request had left."""
    call = house.place(send=False)
    submission = house.submissions(call)[0].id
    assert house.program.sender.claim(submission) is not None
    survivor = others(house, 1)[0]
    assert survivor.sender.end_leases() == 0
    house.clock.forward(seconds=house.account.timeout_s + 16)
    assert survivor.sender.end_leases() == 1
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason, timeline.settled) == ("unconfirmed", "sender-lost", False)
    asyncio.run(survivor.sender.submit(submission))
    assert provider.sent == []


def test_a_sender_that_wakes_up_after_its_lease_sends_nothing(
    house: House, provider: RecordingProvider
) -> None:
    """It was stopped between its commit and its request, for longer than its lease."""
    call = house.place(send=False)
    sender = house.program.sender
    claim = sender.claim

    def claim_and_sleep(submission_id: str) -> object:
        found = claim(submission_id)
        house.clock.forward(minutes=5)
        others(house, 1)[0].sender.end_leases()
        return found

    sender.claim = claim_and_sleep  # type: ignore[method-assign,assignment]
    house.submit(house.submissions(call)[0].id)
    assert provider.sent == []
    timeline = house.timeline(call)
    assert (timeline.status, timeline.reason) == ("failed", "provider-unreachable")


@pytest.mark.parametrize(
    "told",
    [error(500, "oops"), error(408, "slow"), Told(drop=True), Told(body=b"not json"), Told(hang_s=3.0)],
    ids=["500", "408", "closed", "nonsense", "silence"],
)
def test_an_unclear_answer_is_never_followed_by_another_request(
    house: House, provider: RecordingProvider, told: Told
) -> None:
    house.with_account(timeout_s=1.0)
    provider.sends.append(told)
    call = house.place()
    assert house.timeline(call).status == "unconfirmed"
    for program in others(house, 3):
        asyncio.run(program.sender.submit(house.submissions(call)[0].id))
    house.clock.forward(hours=1)
    house.program.sender.end_leases()
    assert len(provider.sent) == 1
    assert len(house.submissions(call)) == 1


def test_the_same_idempotency_key_gives_the_same_call(house: House, provider: RecordingProvider) -> None:
    fields = {"to": NUMBER, "flow_id": "24", "reference": "order-42"}
    start = threading.Barrier(6)

    def place(program: Services) -> str:
        start.wait()
        placed = program.placer.place(fields, scope="a token", key="k1")
        if not placed.is_replayed:
            asyncio.run(program.sender.submit(placed.submission))
        return placed.call

    with ThreadPoolExecutor(6) as pool:
        calls = set(pool.map(place, others(house, 6)))
    assert len(calls) == 1
    assert len(provider.sent) == 1
    again = house.program.placer.place(dict(reversed(fields.items())), scope="a token", key="k1")
    assert (again.call, again.is_replayed) == (calls.pop(), True)
    with pytest.raises(IdempotencyConflict):
        house.program.placer.place({**fields, "reference": "order-43"}, scope="a token", key="k1")
    assert not house.program.placer.place(fields, scope="another token", key="k1").is_replayed


def test_the_same_key_makes_one_attempt_more(house: House, provider: RecordingProvider) -> None:
    call = house.place()
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    start = threading.Barrier(6)

    def retry(program: Services) -> tuple[str, bool]:
        start.wait()
        placed = program.call_actions.retry(call, scope="a token", key="r1")
        if not placed.is_replayed:
            asyncio.run(program.sender.submit(placed.submission))
        return placed.submission, placed.is_replayed

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(retry, others(house, 6)))
    assert len({submission for submission, _ in answers}) == 1
    assert [replayed for _, replayed in answers].count(False) == 1
    assert len(provider.sent) == 2
    with pytest.raises(IdempotencyConflict):
        house.program.call_actions.retry(call, force=True, scope="a token", key="r1")
    with pytest.raises(Conflict, match="open"):
        house.program.call_actions.retry(call, scope="another token", key="r1")


def test_a_key_is_kept_for_more_than_a_day(house: House) -> None:
    fields = {"to": NUMBER, "flow_id": "24"}
    first = house.program.placer.place(fields, scope="a token", key="k1")
    house.clock.forward(hours=25)
    house.program.placer.delete_old_keys()
    assert house.program.placer.place(fields, scope="a token", key="k1").call == first.call
