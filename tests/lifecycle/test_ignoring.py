"""A person says that a callback is about nothing of ours: what was joined on the strength of it is looked at anew."""

from __future__ import annotations

import pytest

from tests import oracle
from tests.lifecycle.house import House

RECORD = {
    "status": "BUSY",
    "start_at": "2026-01-05 10:00:00",
    "end_at": "2026-01-05 10:00:09",
    "id": "nobody-knows-this",
}


@pytest.mark.parametrize("number", [{}, {"to": "918919525224"}], ids=["no number", "before its request"])
def test_what_equals_an_ignored_callback_does_not_stay_where_that_one_was(
    house: House, number: dict[str, str]
) -> None:
    """Two equal callbacks came before the call; a person joins one, the other follows, and the first was a mistake."""
    one, same = (house.receive({**RECORD, **number}) for _ in range(2))
    house.clock.forward(seconds=1)
    call = house.place()
    house.program.callback_actions.join(one, submission=house.submissions(call)[0].id)
    assert house.standing(same).matched_by == "twin"
    house.program.callback_actions.ignore(one)
    assert house.standing(same).state == "orphaned"
    assert house.timeline(call).status == "queued"
    assert oracle.find_differences(house.database, house.program.accounts) == []
    house.close()
