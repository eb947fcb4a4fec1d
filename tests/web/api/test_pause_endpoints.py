"""The endpoints `/api/v1/pause` and `/api/v1/resume`."""

from __future__ import annotations

from tests.processes import API_TOKEN, eventually
from tests.recording_provider import RecordingProvider
from tests.web.serving import Serving, is_problem


def test_pause_holds_calls_back_until_resume(serving: Serving, provider: RecordingProvider) -> None:
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


def test_wrong_pause_is_refused(serving: Serving) -> None:
    assert is_problem(serving.api("POST", "/pause", {"account": "nobody"}), 422, "account")
    assert is_problem(serving.api("POST", "/pause", {"account": 1}), 422, "account")
    assert is_problem(serving.api("POST", "/pause", {"number": "1"}), 422, "number")
    assert is_problem(serving.api("POST", "/resume", {"force": True}), 422, "force")
    assert is_problem(
        serving.api("POST", "/resume", {"account": "thundersms", "campaign": "spring"}), 422, "campaign"
    )
    assert is_problem(serving.api("POST", "/pause", {}, token="wrong"), 401)
