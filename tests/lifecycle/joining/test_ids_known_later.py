"""An id that becomes known later is surer than what has joined a callback before: then it is weighed once more."""

from __future__ import annotations

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, accepted
from tracker.domain.events import MatchedBy

BASE = "70fa87e0-9df9-4327-bc80-a561c48703d8"
OTHER = "3b69aca9-3b55-4e2d-bfe0-02b910dbe156"
#: nothing else but an id can join to a call to one of them what comes about a call to the other
SOMEWHERE, ELSEWHERE = "+918919525224", "+917619360003"
RECORD = {"status": "BUSY", "start_at": "2026-01-05 10:00:00", "end_at": "2026-01-05 10:00:09"}


class Told:
    """Calls whose ids become known when the test says so."""

    def __init__(self, house: House, provider: RecordingProvider) -> None:
        self.house, self.provider = house, provider
        self._calls: dict[str, str] = {}

    def placed(self, to: str = SOMEWHERE, id: str | None = None) -> str:
        """A call, accepted with this id if there is one; gives its submission."""
        call = self.house.place(to, send=False)
        submission: str = self.house.submissions(call)[0].id
        self._calls[submission] = call
        if id is not None:
            self.accept(submission, id)
        return submission

    def accept(self, submission: str, id: str) -> None:
        self.provider.sends.append(accepted(id))
        self.house.submit(submission)

    def outcome(self, submission: str) -> str | None:
        return self.house.timeline(self._calls[submission]).outcome

    def stands(self, callback: str) -> tuple[str | None, str | None]:
        standing = self.house.standing(callback)
        return standing.submission, standing.matched_by


def test_a_reference_gives_way_to_an_id(house: House, provider: RecordingProvider) -> None:
    """What a template echoes may be a copy; the provider's own id is not."""
    told = Told(house, provider)
    first, second = told.placed(id=f"{BASE}:1"), told.placed(ELSEWHERE)
    callback = house.receive({**RECORD, "id": OTHER, "custom": first})
    assert told.stands(callback) == (first, MatchedBy.reference)
    assert told.outcome(first) == "busy"
    told.accept(second, OTHER)
    assert told.stands(callback) == (second, MatchedBy.submission_id)
    assert (told.outcome(first), told.outcome(second)) == (None, "busy")


def test_an_id_that_stands_behind_gives_way_to_the_one_in_front(
    house: House, provider: RecordingProvider
) -> None:
    told = Told(house, provider)
    first, second = told.placed(id=f"{BASE}:1"), told.placed(ELSEWHERE)
    callback = house.receive({**RECORD, "id": OTHER, "parent_id": f"{BASE}:1"})
    assert told.stands(callback) == (first, MatchedBy.submission_id)
    told.accept(second, OTHER)
    assert told.stands(callback) == (second, MatchedBy.submission_id)


def test_a_message_id_gives_way_to_an_id(house: House, provider: RecordingProvider) -> None:
    told = Told(house, provider)
    first, second = told.placed(id=f"{BASE}:1"), told.placed(ELSEWHERE)
    callback = house.receive({**RECORD, "id": OTHER, "mid": BASE})
    assert told.stands(callback) == (first, MatchedBy.message_id)
    told.accept(second, OTHER)
    assert told.stands(callback) == (second, MatchedBy.submission_id)


def test_an_id_without_suffix_is_nobodys_when_two_share_it(house: House, provider: RecordingProvider) -> None:
    told = Told(house, provider)
    first = told.placed(id=f"{BASE}:1")
    without, with_mid = house.receive({**RECORD, "id": BASE}), house.receive({"status": "BUSY", "mid": BASE})
    assert told.stands(without) == (first, MatchedBy.submission_id_without_suffix)
    assert told.stands(with_mid) == (first, MatchedBy.message_id)
    second = told.placed(ELSEWHERE, id=f"{BASE}:2")
    assert {house.standing(c).state for c in (without, with_mid)} == {"orphaned"}
    assert (told.outcome(first), told.outcome(second)) == (None, None)


def test_the_suffix_counts_once_it_is_known(house: House, provider: RecordingProvider) -> None:
    """`X:2` is taken for `X:1`'s as long as nobody has it."""
    told = Told(house, provider)
    first, second = told.placed(id=f"{BASE}:1"), told.placed(ELSEWHERE)
    callback = house.receive({**RECORD, "id": f"{BASE}:2"})
    assert told.stands(callback) == (first, MatchedBy.submission_id_without_suffix)
    told.accept(second, f"{BASE}:2")
    assert told.stands(callback) == (second, MatchedBy.submission_id)


def test_an_id_that_is_given_twice_is_nobodys(house: House, provider: RecordingProvider) -> None:
    told = Told(house, provider)
    first = told.placed(id=OTHER)
    callback = house.receive({**RECORD, "id": OTHER})
    assert told.stands(callback) == (first, MatchedBy.submission_id)
    second = told.placed(ELSEWHERE, id=OTHER)
    assert house.standing(callback).state == "orphaned"
    assert (told.outcome(first), told.outcome(second)) == (None, None)


def test_who_goes_takes_its_twin_along_and_leaves_room_behind(
    house: House, provider: RecordingProvider
) -> None:
    """What spoke against another callback, and what equals it, are weighed with it."""
    told = Told(house, provider)
    first, second = told.placed(id=f"{BASE}:1"), told.placed(ELSEWHERE)
    number = {"to": SOMEWHERE.lstrip("+")}
    callback = house.receive({**RECORD, **number, "id": OTHER, "custom": first})
    twin = house.receive({**RECORD, **number, "id": OTHER})
    contradicted = house.receive({**RECORD, **number, "status": "NOANSWER"})
    assert told.stands(twin) == (first, MatchedBy.twin)
    assert house.standing(contradicted).reason == "contradicted"
    told.accept(second, OTHER)
    assert told.stands(callback) == told.stands(twin) == (second, MatchedBy.submission_id)
    assert told.stands(contradicted) == (first, MatchedBy.number_and_time)
    assert (told.outcome(first), told.outcome(second)) == ("no-answer", "busy")


def test_a_twin_that_came_first_follows_what_an_echo_joins(house: House, provider: RecordingProvider) -> None:
    told = Told(house, provider)
    first = told.placed(id=f"{BASE}:1")
    twin = house.receive({**RECORD, "id": OTHER})
    assert house.standing(twin).state == "orphaned"
    house.receive({**RECORD, "id": OTHER, "custom": first})
    assert told.stands(twin) == (first, MatchedBy.twin)


def test_what_two_ids_may_mean_is_not_taken_for_the_nearer(house: House, provider: RecordingProvider) -> None:
    """It waits for its number, and another callback about that number has it looked at: who is far counts, too."""
    told = Told(house, provider)
    told.placed(ELSEWHERE, id=f"{BASE}:1")
    told.placed(SOMEWHERE, id=f"{BASE}:2")
    unclear = house.receive({**RECORD, "id": BASE, "bridge": "918068289999", "to": SOMEWHERE.lstrip("+")})
    assert house.standing(unclear).state == "orphaned"
    house.receive({**RECORD, "id": f"{BASE}:2"})
    assert house.standing(unclear).state == "orphaned"
