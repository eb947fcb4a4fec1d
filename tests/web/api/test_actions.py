"""Canceling and retrying calls, joining and ignoring callbacks."""

from __future__ import annotations

import pytest

from tests.lifecycle.house import NUMBER
from tests.processes import SECRET, eventually
from tests.recording_provider import RecordingProvider, accepted
from tests.web.serving import Serving, is_problem
from tracker.store.read.system_status import load_system_status

CALL = {"to": NUMBER, "flow_id": "24"}
PROVIDER_ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"


def test_cancel_is_200_before_the_request_leaves(serving: Serving, provider: RecordingProvider) -> None:
    call = serving.place(not_before="2099-01-01T00:00:00Z")["id"]
    response = serving.api("POST", f"/calls/{call}/cancel")

    found = response.json()
    assert (response.status_code, found["status"], found["reason"]) == (200, "canceled", "operator")
    assert found["settled"] is True
    assert is_problem(serving.api("POST", f"/calls/{call}/cancel"), 409)
    assert provider.sent == []


def test_cancel_is_202_after_the_request_left(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(accepted(PROVIDER_ID))
    call = serving.place()["id"]
    response = serving.api("POST", f"/calls/{call}/cancel", {})

    assert (response.status_code, response.json()["cancel_requested"]) == (202, True)
    # force only concerns attempts that a restored backup left unconfirmed
    assert serving.api("POST", f"/calls/{call}/cancel", {"force": True}).status_code == 202
    assert is_problem(serving.api("POST", f"/calls/{call}/cancel", {"force": "yes"}), 422, "force")
    serving.callback({"id": PROVIDER_ID, "status": "ANSWER"})
    assert serving.settled(call)["status"] == "completed"
    assert is_problem(serving.api("POST", f"/calls/{call}/cancel"), 409)


def test_retry_is_409_for_an_open_or_answered_call(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(accepted(PROVIDER_ID))
    call = serving.place()["id"]
    assert is_problem(serving.api("POST", f"/calls/{call}/retry"), 409)
    assert is_problem(serving.api("POST", f"/calls/{call}/retry", {"force": True}), 409)

    serving.callback({"id": PROVIDER_ID, "status": "ANSWER"})
    serving.settled(call)
    assert is_problem(serving.api("POST", f"/calls/{call}/retry"), 409)
    assert is_problem(serving.api("POST", f"/calls/{call}/retry", {"force": False}), 409)
    assert is_problem(serving.api("POST", f"/calls/{call}/retry", {"force": "yes"}), 422, "force")
    assert is_problem(serving.api("POST", f"/calls/{call}/retry", {"x": 1}), 422, "x")
    assert serving.api("POST", f"/calls/{call}/retry", {"force": True}).status_code == 201
    found = serving.get(f"/calls/{call}")
    assert [s["trigger"] for s in found["submissions"]] == ["first", "operator"]
    assert len(provider.sent) == 2


def test_callback_is_joined_moved_and_ignored(serving: Serving, provider: RecordingProvider) -> None:
    one, other = serving.place(), serving.place("+918867130003")
    serving.callback({"status": "BUSY", "to": "917619360003", "start_at": "2026-01-01 10:00:00"})
    (callback,) = eventually(lambda: serving.stored_callbacks("orphaned"), "it is no orphan")
    path = f"/callbacks/{callback['id']}"

    for body in ({}, {"submission": "a", "submission_id": "b"}, {"submission": ""}):
        assert is_problem(serving.api("POST", f"{path}/join", body), 422, "submission")
    assert is_problem(serving.api("POST", f"{path}/join", {"submission": "sub_unknown"}), 404)
    assert is_problem(serving.api("POST", f"{path}/join", {"submission": "a\x00"}), 422, "submission")
    assert is_problem(serving.api("POST", f"{path}/join", {"submission": 1}), 422, "submission")

    joined = serving.api("POST", f"{path}/join", {"submission": one["submissions"][0]["id"], "force": True})
    assert joined.status_code == 200
    assert (joined.json()["state"], joined.json()["matched_by"]) == ("joined", "operator")
    assert joined.json()["call"] == one["id"]
    assert serving.get(f"/calls/{one['id']}")["status"] == "busy"

    moved = serving.api(
        "POST", f"{path}/join", {"submission_id": other["submissions"][0]["submission_id"], "force": True}
    )
    assert (moved.status_code, moved.json()["call"]) == (200, other["id"])
    assert serving.get(f"/calls/{one['id']}")["status"] == "queued"
    assert len(serving.get(f"/calls/{one['id']}/evidence")["withdrawn"]) >= 1

    ignored = serving.api("POST", f"{path}/ignore")
    assert ignored.status_code == 200
    assert (ignored.json()["state"], ignored.json()["reason"]) == ("ignored", "operator")
    assert serving.get(f"/calls/{other['id']}")["status"] == "queued"


def test_join_of_another_number_needs_force(serving: Serving) -> None:
    submission = serving.place()["submissions"][0]["id"]
    serving.callback({"status": "BUSY", "to": "917619360003", "start_at": "2026-01-01 10:00:00"})
    (callback,) = eventually(lambda: serving.stored_callbacks("orphaned"), "it is no orphan")
    path = f"/callbacks/{callback['id']}/join"

    for body in ({"submission": submission}, {"submission": submission, "force": False}):
        refused = serving.api("POST", path, body)
        assert is_problem(refused, 409, reason="number-mismatch")
        assert "+917619360003" in refused.json()["detail"]
        assert '{"force": true}' in refused.json()["detail"]
    assert is_problem(serving.api("POST", path, {"submission": submission, "force": "yes"}), 422, "force")
    assert [c["id"] for c in serving.stored_callbacks("orphaned")] == [callback["id"]]
    assert serving.api("POST", path, {"submission": submission, "force": True}).json()["state"] == "joined"


def test_join_of_an_unreadable_callback_is_409(serving: Serving) -> None:
    submission = serving.place()["submissions"][0]["id"]
    serving.callback(b"null")
    (callback,) = eventually(lambda: serving.stored_callbacks("unreadable"), "it was read")

    path = f"/callbacks/{callback['id']}"
    assert is_problem(serving.api("POST", f"{path}/join", {"submission": submission}), 409)


@pytest.mark.parametrize(
    ("secret", "body", "state", "reason"),
    [
        (SECRET, b"null", "unreadable", "operator"),
        ("wrong", b'{"status": "BUSY"}', "quarantined", "wrong-secret"),
        (None, b"", "quarantined", "no-secret"),
    ],
)
def test_ignore_takes_every_callback(
    serving: Serving, secret: str | None, body: bytes, state: str, reason: str
) -> None:
    submission = serving.place()["submissions"][0]["id"]
    serving.callback(body, secret=secret)
    (callback,) = eventually(lambda: serving.stored_callbacks(state), "it is not there")
    path = f"/callbacks/{callback['id']}"
    eventually(lambda: serving.api("POST", f"{path}/ignore").status_code != 409, "it stays pending")
    ignored, again = (serving.api("POST", f"{path}/ignore").json() for _ in range(2))
    assert (ignored["state"], ignored["reason"]) == ("ignored", reason)
    assert again == ignored
    assert ignored["request"]["body"] == body.decode()
    assert is_problem(serving.api("POST", f"{path}/join", {"submission": submission}), 409)
    status = serving.database.read(lambda c: load_system_status(c, ["thundersms"], serving.clock()))
    account = status.accounts["thundersms"]
    assert (account.last_callback_at is not None) == (state == "unreadable")
    assert account.last_quarantined_at is None
