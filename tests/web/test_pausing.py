"""`POST /pause` and `/resume`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes import API_TOKEN, eventually
from tests.recording_provider import RecordingProvider
from tests.web.serving import Serving, is_problem
from tracker.store.engine.database import Connection
from tracker.store.maintenance import copy_marker


@pytest.fixture
def provider() -> Iterator[RecordingProvider]:
    with RecordingProvider() as server:
        yield server


def test_it_pauses_and_resumes(database_url: str, provider: RecordingProvider) -> None:
    with Serving(database_url, provider.base_url) as serving:
        [pause] = serving.api("POST", "/pause").json()["paused"]
        assert set(pause) == {"scope", "account", "campaign", "since", "why"}
        assert (pause["scope"], pause["why"]) == ("all", "operator")
        response = serving.api("POST", "/calls", {"to": "+918919525224", "flow_id": "24"})
        assert (response.status_code, response.json()["status"]) == (202, "pending")
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        assert serving.client.get("/statusz", headers=headers).json()["paused"] == [pause]
        assert provider.sent == []

        assert serving.api("POST", "/resume", {}).json() == {"paused": [], "released": 1}
        assert eventually(lambda: len(provider.sent) == 1, "it is not sent")


def test_an_incomplete_copy_is_opened_by_force_alone(serving: Serving) -> None:
    def hold(c: Connection) -> None:
        copy_marker.mark_incomplete(
            c, copy_marker.mark_for(c, serving.clock(), complete=False), serving.clock()
        )

    serving.database.write(hold)
    assert is_problem(serving.api("POST", "/resume"), 409)
    answer = serving.api("POST", "/calls", {"to": "+918919525224", "flow_id": "24"})
    assert is_problem(answer, 409)
    assert "`tracker db copy`" in answer.json()["detail"]
    assert serving.api("GET", "/calls").json()["data"] == []
    assert is_problem(serving.api("POST", "/resume", {"force": 1}), 422, "force")
    assert is_problem(serving.api("POST", "/pause", {"force": True}), 422, "force")
    assert serving.api("POST", "/resume", {"force": True}).json() == {"paused": [], "released": 0}
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    assert serving.client.get("/statusz", headers=headers).json()["incomplete_copy"] is True


def test_what_cannot_be_paused(serving: Serving) -> None:
    assert is_problem(serving.api("POST", "/pause", {"account": "nobody"}), 422, "account")
    assert is_problem(serving.api("POST", "/pause", {"account": 1}), 422, "account")
    assert is_problem(serving.api("POST", "/pause", {"number": "1"}), 422, "number")
    assert is_problem(
        serving.api("POST", "/resume", {"account": "thundersms", "campaign": "spring"}), 422, "campaign"
    )
    assert is_problem(serving.api("POST", "/pause", {}, token="wrong"), 401)
