"""Tests what follows when an operator ignores a callback on which another join rests."""

from __future__ import annotations

import pytest

from tests import oracle
from tests.lifecycle.house import House

UNKNOWN = {
    "status": "BUSY",
    "start_at": "2026-01-05 10:00:00",
    "end_at": "2026-01-05 10:00:09",
    "id": "nobody-knows-this",
}


@pytest.mark.parametrize("number", [{}, {"to": "918919525224"}], ids=["no number", "before its request"])
def test_duplicate_of_an_ignored_callback_is_matched_again(house: House, number: dict[str, str]) -> None:
    """Two equal callbacks came before the call. An operator joins one by mistake, and the other follows."""
    joined, duplicate = (house.receive({**UNKNOWN, **number}) for _ in range(2))
    house.clock.forward(seconds=1)
    call = house.place()
    house.program.callback_actions.join(joined, submission=house.submissions(call)[0].id)
    assert house.standing(duplicate).matched_by == "twin"
    house.program.callback_actions.ignore(joined)
    assert house.standing(duplicate).state == "orphaned"
    assert house.timeline(call).status == "queued"
    assert oracle.find_differences(house.database, house.program.accounts) == []
