"""Promise: order does not matter; repetition changes nothing.

Two calls ring, sometimes the same number. The provider's answers and all their callbacks, with ids and without, are
recorded and read in whatever order and in whatever batches: what the calls are afterwards is always the same, and
rebuilding it from the inbox gives it once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lifecycle.house import House
from tests.recording_provider import accepted
from tracker.lifecycle.sending.claim import Claim
from tracker.providers.base import HttpResponse

NUMBERS = ("+918919525224", "+917619360003")
IDS = ("70fa87e0-9df9-4327-bc80-a561c48703d8:1", "3b69aca9-3b55-4e2d-bfe0-02b910dbe156")
#: of the first one's request
SECOND = "70fa87e0-9df9-4327-bc80-a561c48703d8:2"
ECHOED = (*IDS, SECOND, IDS[0].upper(), IDS[0].removesuffix(":1"), "somebody-elses")
#: seconds after the story began, in the account's zone; one of them is written in another zone
STARTS = (1, 1 - 19800, 1800)
ENDS = (17, 17 - 19800)

callbacks = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(["ANSWER", "BUSY", "NOANSWER", "CONGESTION", "WHATEVER"]),
            "to": st.sampled_from([n.lstrip("+") for n in NUMBERS]),
        },
        optional={
            "id": st.sampled_from(ECHOED),
            # what another key carries may say otherwise, and so may ours, echoed
            "parent_id": st.sampled_from(ECHOED),
            "custom": st.sampled_from([0, 1]),
            "start_at": st.sampled_from(STARTS),
            "end_at": st.sampled_from(ENDS),
            "duration": st.sampled_from(["16", "0"]),
            "recording_url": st.sampled_from(["https://sound.example/1"]),
        },
    ),
    min_size=1,
    max_size=6,
)


class Story:
    """The same facts, told in a given order."""

    def __init__(
        self, house: House, same_number: bool, ids: tuple[str, str], told: list[dict[str, Any]]
    ) -> None:
        self.house, self.ids = house, ids
        sender = house.program.sender
        house.clock.forward(days=2)  # nothing of the story before is near
        self.calls = [house.place(NUMBERS[0 if same_number else n], send=False) for n in range(2)]
        self.claims: list[Claim] = []
        for call in self.calls:
            claim = sender.claim(house.submissions(call)[0].id)
            assert claim is not None
            self.claims.append(claim)
        self.began = house.clock().replace(microsecond=0)
        self.told = told
        self.received: dict[int, str] = {}

    def steps(self) -> list[Callable[[], None]]:
        return [
            *(lambda n=n: self.answer(n) for n in range(2)),
            *(lambda n=n: self.hear(n) for n in range(len(self.told))),
        ]

    def answer(self, n: int) -> None:
        reply = HttpResponse(
            status=200, headers=((b"content-type", b"application/json"),), body=accepted(self.id(n)).body
        )
        self.house.program.sender.record_response(self.claims[n], reply, self.began)

    def id(self, n: int) -> str:
        # every story has ids of its own, or the callbacks of one would be joined to the calls of another
        return f"{self.calls[0][-8:]}{self.ids[n]}"

    def hear(self, n: int) -> None:
        fields = dict(self.told[n])
        for name in fields.keys() & {"id", "parent_id"}:
            fields[name] = f"{self.calls[0][-8:]}{fields[name]}"
        if "custom" in fields:
            fields["custom"] = self.claims[fields["custom"]].submission.id
        for name in fields.keys() & {"start_at", "end_at"}:
            moment = self.began + timedelta(hours=5, minutes=30, seconds=fields[name])
            fields[name] = f"{moment:%Y-%m-%d %H:%M:%S}"
        at = self.began + timedelta(seconds=20 + n)
        self.received[n] = self.house.receive_at(json.dumps(fields).encode(), at)

    def state(self) -> dict[str, Any]:
        """Everything that follows, with the names of this story's rows replaced by their places in it."""
        self.house.join()
        places = {id: f"cb{n}" for n, id in self.received.items()}
        for n, call in enumerate(self.calls):
            places |= {call: f"call{n}", self.house.submissions(call)[0].id: f"sub{n}", self.id(n): f"id{n}"}
        calls = []
        for call in self.calls:
            timeline = self.house.timeline(call)
            events = [
                (e.type, e.status, e.reason, e.provider_status, places.get(e.callback or "", None), e.matched_by,
                 {k: v for k, v in e.detail.items() if k in ("duration_s", "recording_url", "shift_minutes")},
                 round((e.at - self.began).total_seconds()))
                for e in timeline.events if e.callback
            ]  # fmt: skip
            calls.append(
                (
                    timeline.status,
                    timeline.outcome,
                    timeline.settled,
                    timeline.disputed,
                    sorted(events, key=repr),
                )
            )
        standings = {}
        for n, id in self.received.items():
            s = self.house.standing(id)
            standings[n] = (s.state, s.reason, s.matched_by, places.get(s.submission or ""))
        return {"calls": calls, "callbacks": standings}


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    told=callbacks,
    same_number=st.booleans(),
    ids=st.sampled_from([IDS, (IDS[0], SECOND)]),
    data=st.data(),
)
def test_the_same_facts_in_any_order_give_the_same_calls(
    house: House, told: list[dict[str, Any]], same_number: bool, ids: tuple[str, str], data: st.DataObject
) -> None:
    straight = Story(house, same_number, ids, told)
    for step in straight.steps():
        step()
        house.join()
    expected = straight.state()

    shuffled = Story(house, same_number, ids, told)
    for step in data.draw(st.permutations(shuffled.steps())):
        step()
        if data.draw(st.booleans()):  # read at once, or later in one batch with others
            house.join()
    assert shuffled.state() == expected
