"""Promise: early is not lost, on PostgreSQL with several processes, under every interleaving of sender and joiner.

The sender commits the provider's id and then looks for callbacks that were earlier; a joiner reads callbacks, weighs
them and commits. Each is stopped before every one of its statements and commits in turn, while the others go as far as
the database lets them; also with two joiners, and with one who dies where it was stopped. Nothing here is hoped for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import count
from typing import Any

import psycopg
import pytest

from tests import oracle
from tests.lifecycle.house import House
from tests.recording_provider import accepted, error
from tests.steering import Steered, admin_of
from tracker.errors import StorageUnavailable
from tracker.lifecycle.services import Services, build_services
from tracker.providers.base import HttpResponse
from tracker.store.queue import jobs

HEADERS = ((b"content-type", b"application/json"),)
#: what waits for the callback besides: nothing; another call to the same number; one that was refused meanwhile
KINDS = ("alone", "two may be meant", "one was refused")


class Stage:
    """One database; a sender and two joiners, each a process of its own; and a house that sets the scene."""

    def __init__(self, url: str, leaving: ExitStack) -> None:
        self.house = leaving.enter_context(closing(House(url, "http://127.0.0.1:9/")))
        self.admin: psycopg.Connection = leaving.enter_context(admin_of(url))
        self.sender, self.one, self.other = (leaving.enter_context(closing(Steered(url))) for _ in range(3))
        self._numbers = count(1)

    def program(self, who: Steered) -> Services:
        return build_services(who.database, self.house.program.accounts, self.house.clock)

    def join(self, who: Steered) -> Callable[[], object]:
        program = self.program(who)
        return program.joiner.join_batch

    def story(self, kind: str) -> Story:
        return Story(self, f"+9190000{next(self._numbers):05}", kind)


class Story:
    """A call whose request has left, and its callback, stored and not read yet; the answer is still to be recorded."""

    def __init__(self, stage: Stage, number: str, kind: str) -> None:
        house = self._house = stage.house
        self.id = f"id-of-{number[1:]}:1"
        self.call = house.place(number, send=False)
        if kind != "alone":
            another = house.place(number, send=False)
            claim = house.program.sender.claim(house.submissions(another)[0].id)
            assert claim is not None
            if kind == "one was refused":
                refusal = HttpResponse(status=400, headers=HEADERS, body=error(400, "No.").body)
                house.program.sender.record_response(claim, refusal, house.clock())
        claimed = house.program.sender.claim(house.submissions(self.call)[0].id)
        assert claimed is not None
        self.claim = claimed
        self.callback = house.receive(
            {"id": self.id, "to": number.lstrip("+"), "status": "BUSY", "end_at": "2026-03-02 10:00:09"},
            join=False,
        )
        self.answer: Callable[[], object] = lambda: self._answer(stage.program(stage.sender))

    def _answer(self, program: Services) -> None:
        reply = HttpResponse(status=200, headers=HEADERS, body=accepted(self.id).body)
        program.sender.record_response(self.claim, reply, self._house.clock())

    def holds(self, *, where: Any) -> None:
        standing = self._house.standing(self.callback)
        assert (standing.state, standing.matched_by, standing.call) == (
            "joined", "submission-id", self.call,
        ), where  # fmt: skip
        assert self._house.timeline(self.call).outcome == "busy", where


@pytest.fixture
def stage(postgres_database: str) -> Iterator[Stage]:
    with ExitStack() as leaving:
        yield Stage(postgres_database, leaving)


def seams(stage: Stage, kind: str) -> tuple[int, int]:
    """Before how many statements and commits a joiner and the sender can be stopped; both meet the callback."""
    story = stage.story(kind)
    joins = stage.one.count(stage.join(stage.one))
    answers = stage.sender.count(story.answer)
    story.holds(where="unhindered")
    assert joins > 5
    assert answers > 10
    return joins, answers


def all_is_said(stage: Stage) -> None:
    assert oracle.find_differences(stage.house.database, stage.house.program.accounts) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_joiner_is_stopped_anywhere_while_the_sender_goes_on(stage: Stage, kind: str) -> None:
    joins, _ = seams(stage, kind)
    for n in range(joins):
        story = stage.story(kind)
        stage.one.start(stage.join(stage.one), stop_before=n)
        stage.one.until_halted(stage.admin)
        stage.sender.start(story.answer)
        stage.sender.until_halted(stage.admin)
        assert stage.one.finish() is None
        assert stage.sender.finish() is None
        story.holds(where=n)
    all_is_said(stage)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sender_is_stopped_anywhere_while_the_joiner_goes_on(stage: Stage, kind: str) -> None:
    _, answers = seams(stage, kind)
    for n in range(answers):
        story = stage.story(kind)
        stage.sender.start(story.answer, stop_before=n)
        stage.sender.until_halted(stage.admin)
        stage.one.start(stage.join(stage.one))
        stage.one.until_halted(stage.admin)
        assert stage.sender.finish() is None
        assert stage.one.finish() is None
        story.holds(where=n)
    all_is_said(stage)


def test_both_are_stopped_anywhere(stage: Stage) -> None:
    """The joiner goes to its n-th seam, the sender to its m-th, the joiner to its end, then the sender to its own."""
    joins, answers = seams(stage, "two may be meant")
    for n in range(1, joins, 3):
        for m in range(0, answers, 3):
            story = stage.story("two may be meant")
            stage.one.start(stage.join(stage.one), stop_before=n)
            stage.one.until_halted(stage.admin)
            stage.sender.start(story.answer, stop_before=m)
            stage.sender.until_halted(stage.admin)
            stage.one.go()
            stage.one.until_halted(stage.admin)
            assert stage.sender.finish() is None
            assert stage.one.finish() is None
            story.holds(where=(n, m))
    all_is_said(stage)


@pytest.mark.parametrize("senders_first", [True, False])
def test_a_second_joiner_comes_to_the_same_callback(stage: Stage, senders_first: bool) -> None:
    joins, _ = seams(stage, "two may be meant")
    for n in range(joins):
        story = stage.story("two may be meant")
        stage.one.start(stage.join(stage.one), stop_before=n)
        stage.one.until_halted(stage.admin)
        for who in (stage.sender, stage.other) if senders_first else (stage.other, stage.sender):
            who.start(story.answer if who is stage.sender else stage.join(stage.other))
            who.until_halted(stage.admin)
        for who in (stage.one, stage.sender, stage.other):
            assert who.finish() is None
        story.holds(where=n)
    all_is_said(stage)


def test_a_joiner_dies_anywhere_and_another_does_its_work(stage: Stage) -> None:
    joins, _ = seams(stage, "alone")
    for n in range(joins):
        story = stage.story("alone")
        stage.one.start(stage.join(stage.one), stop_before=n)
        stage.one.until_halted(stage.admin)
        stage.sender.start(story.answer)
        stage.sender.until_halted(stage.admin)
        died = stage.one.crash(stage.admin)
        assert died is None or isinstance(died, StorageUnavailable)
        assert stage.sender.finish() is None
        stage.other.start(stage.join(stage.other))
        assert stage.other.finish() is None
        story.holds(where=n)
    all_is_said(stage)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_sender_dies_anywhere_after_its_commit_and_a_worker_looks_in_its_place(
    stage: Stage, kind: str
) -> None:
    _, answers = seams(stage, kind)
    covered = 0
    for n in range(answers):
        story = stage.story(kind)
        stage.one.start(stage.join(stage.one))
        assert stage.one.finish() is None
        stage.sender.start(story.answer, stop_before=n)
        stage.sender.until_halted(stage.admin)
        stage.sender.crash(stage.admin)
        if stage.house.submissions(story.call)[0].submission_id is None:
            continue  # it died before; then nobody knows the id
        covered += _looked_in_its_place(stage, story)
        story.holds(where=n)
    assert covered > 3
    all_is_said(stage)


def _looked_in_its_place(stage: Stage, story: Story) -> int:
    """What a worker does some seconds later; gives how much there was to do."""
    later = stage.house.clock() + timedelta(seconds=6)
    claimed = stage.house.database.write(
        lambda c: jobs.claim(
            c, jobs.MATCH_EARLY, ["thundersms"], owner="w", now=later, lease=timedelta(seconds=9), limit=9
        )
    )
    for job in claimed:
        assert job.subject == story.claim.submission.id
        stage.house.program.joiner.match_early(job.subject)
    return len(claimed)
