"""`POST /api/v1/calls` and what people decide: the answers, and what leaves for the provider."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.lifecycle.house import BRIDGE, NUMBER
from tests.processes import SECRET, eventually
from tests.recording_provider import RecordingProvider, Told, accepted, error
from tests.web.serving import Serving, is_problem
from tracker.domain.wish.call_wish import WISH_FIELDS
from tracker.store.read.system_status import load_system_status

CALL = {"to": NUMBER, "flow_id": "24"}
PROVIDERS_ID = "70fa87e0-9df9-4327-bc80-a561c48703d8:1"

KEYS = {
    "id", "account", "to", "bridge", "flow_id", "audio", "variables", "metadata", "name", "campaign", "reference",
    "rule", "policy", "status", "outcome", "reason", "settled", "disputed", "answered", "attempts", "duration_s",
    "started_at", "ended_at", "next_attempt_at", "cancel_requested", "recording_url", "dtmf", "charges", "created_at",
    "updated_at", "submissions",
}  # fmt: skip
SUBMISSION_KEYS = {
    "id", "number", "trigger", "status", "outcome", "submission_id", "lane", "requested_at", "accepted_at",
}  # fmt: skip


def test_a_call_that_the_provider_accepts_is_201(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(accepted(PROVIDERS_ID))
    response = serving.api("POST", "/calls", {**CALL, "reference": "order-42", "metadata": {"a": [1]}})

    assert response.status_code == 201
    call = response.json()
    assert set(call) >= KEYS
    assert response.headers["location"] == f"/api/v1/calls/{call['id']}"
    assert (call["status"], call["outcome"], call["settled"], call["answered"]) == (
        "queued",
        None,
        False,
        None,
    )
    assert (call["to"], call["bridge"], call["flow_id"], call["audio"]) == (NUMBER, BRIDGE, "24", None)
    assert (call["reference"], call["metadata"], call["attempts"]) == ("order-42", {"a": [1]}, 1)
    (submission,) = call["submissions"]
    assert set(submission) == SUBMISSION_KEYS
    assert (submission["number"], submission["trigger"], submission["submission_id"]) == (
        1,
        "first",
        PROVIDERS_ID,
    )
    assert serving.get(f"/calls/{call['id']}") == call
    assert len(provider.sent) == 1


def test_call_shows_every_field_of_its_wish(serving: Serving) -> None:
    wish = {
        "account": "thundersms", "to": NUMBER, "bridge": "918068280001", "audio": "https://example.com/hello.mp3",
        "variables": {"Name": "Asha"}, "metadata": {"order": [1, None]}, "name": "spring", "interval": 15,
        "webhook_id": "w-1", "campaign": "spring-2026", "reference": "order-42", "rule": "none",
        "not_before": "2099-01-01T00:00:00Z", "not_after": "2099-01-02T00:00:00.500000Z",
    }  # fmt: skip
    response = serving.api("POST", "/calls", wish)

    call = response.json()
    assert response.status_code == 202
    assert {name: call[name] for name in WISH_FIELDS} == {**wish, "flow_id": None, "policy": None}


def test_a_call_that_the_provider_refuses_is_201(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(error(401, "Unauthenticated."))
    response = serving.api("POST", "/calls", CALL)

    call = response.json()
    assert (response.status_code, call["status"], call["reason"]) == (201, "rejected", "bad-credentials")


def test_too_many_requests_are_202_and_sent_again(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(error(429, "Too many", Retry_After="3600"))
    response = serving.api("POST", "/calls", CALL)

    call = response.json()
    assert (response.status_code, call["status"], call["settled"]) == (202, "rejected", False)
    assert call["next_attempt_at"] is not None


@pytest.mark.parametrize(
    ("account", "fields", "status", "reason"),
    [
        ({"dialling": "off"}, {}, "canceled", "dialling-off"),
        ({"dialling": "allowlist", "allow_to": ["+918867130003"]}, {}, "canceled", "not-allowed"),
        ({}, {"not_after": "2020-01-01T00:00:00Z"}, "canceled", "expired"),
    ],
)
def test_what_the_gate_refuses_is_201_and_never_sent(
    sqlite_url: str,
    provider: RecordingProvider,
    account: dict[str, Any],
    fields: dict[str, Any],
    status: str,
    reason: str,
) -> None:
    with Serving(sqlite_url, provider.base_url, **account) as serving:
        response = serving.api("POST", "/calls", {**CALL, **fields})

        call = response.json()
        assert (response.status_code, call["status"], call["reason"]) == (201, status, reason)
        assert provider.sent == []


def test_what_is_not_due_yet_is_202_without_waiting(serving: Serving, provider: RecordingProvider) -> None:
    response = serving.api("POST", "/calls", {**CALL, "not_before": "2099-01-01T00:00:00+05:30"})

    call = response.json()
    assert (response.status_code, call["status"], call["settled"]) == (202, "pending", False)
    assert call["next_attempt_at"] == "2098-12-31T18:30:00Z"
    assert provider.sent == []


def test_a_request_that_never_left_is_202_pending(sqlite_url: str) -> None:
    with Serving(sqlite_url, "http://127.0.0.1:9/") as serving:
        response = serving.api("POST", "/calls", CALL)

        assert (response.status_code, response.json()["status"]) == (202, "pending")


def test_a_provider_that_does_not_answer_makes_it_202_unconfirmed(
    sqlite_url: str, provider: RecordingProvider
) -> None:
    provider.sends.append(Told(hang_s=3))
    with Serving(sqlite_url, provider.base_url, timeout_s=0.5) as serving:
        response = serving.api("POST", "/calls", CALL)

        assert (response.status_code, response.json()["status"]) == (202, "unconfirmed")
        assert len(provider.sent) == 1


def test_every_wrong_field_is_named_at_once(serving: Serving, provider: RecordingProvider) -> None:
    wrong = {
        "to": "91886713XXXX", "bridge": "1", "flow_id": "1", "audio": "2", "interval": 7, "variables": {"1": "a"},
        "metadata": [], "reference": "x" * 201, "not_before": "2026-01-01T00:00:00", "rule": "unknown",
        "policy": "unknown", "sipuri": 1,
    }  # fmt: skip
    response = serving.api("POST", "/calls", wrong)

    assert is_problem(response, 422, *(wrong.keys() - {"flow_id"}))
    assert serving.get("/calls")["data"] == []
    assert provider.seen == []


def test_the_account_s_webhook_is_sent_and_seen_in_the_evidence(
    sqlite_url: str, provider: RecordingProvider
) -> None:
    """The call shows the one that it named itself, for that one uses no lane."""
    with Serving(sqlite_url, provider.base_url, webhook_id="w-of-the-account") as serving:
        usual, own = serving.place(), serving.place("+918867130003", webhook_id="w-of-its-own")

        assert (usual["webhook_id"], own["webhook_id"]) == (None, "w-of-its-own")
        assert [s.json()["webhook_id"] for s in provider.sent] == ["w-of-the-account", "w-of-its-own"]
        [exchange] = serving.get(f"/calls/{usual['id']}/evidence")["exchanges"]
        assert json.loads(exchange["request"]["body"])["webhook_id"] == "w-of-the-account"


def test_an_account_without_a_token_is_422_and_no_retry(sqlite_url: str, provider: RecordingProvider) -> None:
    """It was accepted once, and failed a quarter of an hour later as if the provider could not be reached."""
    with Serving(sqlite_url, provider.base_url) as serving:
        call = answered(serving, provider, "BUSY")
    with Serving(sqlite_url, provider.base_url, access_token=None) as serving:
        response = serving.api("POST", "/calls", CALL)
        again = serving.api("POST", f"/calls/{call}/retry")

        assert is_problem(response, 422, "account")
        assert is_problem(again, 409)
        assert all("accounts.thundersms.access_token" in r.json()["detail"] for r in (response, again))
        assert len(serving.get("/calls")["data"]) == 1
        assert serving.get(f"/calls/{call}")["settled"] is True
    assert len(provider.sent) == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"to": NaN}', b"[" * 100_000, b'{"a": 1e999}', b'"\\ud800"']
)
def test_what_is_no_json_is_400(serving: Serving, body: bytes) -> None:
    assert is_problem(serving.api("POST", "/calls", body), 400)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1"])
def test_json_that_is_no_object_is_422(serving: Serving, body: bytes) -> None:
    assert is_problem(serving.api("POST", "/calls", body), 422, "body")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"to": "+918919525224", "flow_id": "24", "to": "+918919525225"}', "to"),
        (b'{"to": "+918919525224", "flow_id": "24", "variables": {"a": "1", "a": "1"}}', "a"),
        (b'{"to": "+918919525224", "flow_id": "24", "metadata": {"a": [{"n": 1, "n": 2}]}}', "n"),
    ],
)
def test_a_name_that_stands_twice_is_no_choice_of_ours(
    serving: Serving, provider: RecordingProvider, body: bytes, field: str
) -> None:
    """Of two numbers, nobody knows which one was meant."""
    assert is_problem(serving.api("POST", "/calls", body), 422, field)
    assert provider.sent == []


@pytest.mark.parametrize("value", [b"9" * 5000, b"[" * 900 + b"]" * 900, b"1e-9999"])
def test_no_value_of_json_is_too_much(serving: Serving, value: bytes) -> None:
    body = b'{"to": "+918919525224", "flow_id": "24", "metadata": {"a": %s}}' % value
    assert serving.api("POST", "/calls", body).status_code < 500


def test_a_huge_body_is_413(serving: Serving) -> None:
    assert is_problem(serving.api("POST", "/calls", b" " * ((1 << 20) + 1)), 413)


# Idempotency-Key


def keyed(serving: Serving, key: str, body: Any = None) -> Any:
    return serving.api("POST", "/calls", CALL if body is None else body, headers={"Idempotency-Key": key})


def test_a_repeat_with_the_same_key_is_the_same_call(serving: Serving, provider: RecordingProvider) -> None:
    first = keyed(serving, "k1")
    again = keyed(serving, "k1", json.dumps(dict(reversed(CALL.items())), indent=2).encode())

    assert (first.status_code, again.status_code) == (201, 200)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    assert len(provider.sent) == 1


def test_a_repeat_shows_the_call_as_it_is_now(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(accepted(PROVIDERS_ID))
    call = keyed(serving, "k1").json()["id"]
    serving.callback({"id": PROVIDERS_ID, "status": "BUSY"})
    serving.settled(call)

    again = keyed(serving, "k1")
    assert (again.status_code, again.json()["status"]) == (200, "busy")


def test_a_repeat_while_the_first_is_in_flight_does_not_wait(
    serving: Serving, provider: RecordingProvider
) -> None:
    provider.sends.append(Told(**{**vars(accepted()), "hang_s": 1.0}))
    answers: list[Any] = []
    first = threading.Thread(target=lambda: answers.append(keyed(serving, "k1")))
    first.start()
    eventually(lambda: provider.sent, "nothing was sent")
    again = keyed(serving, "k1")

    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json()["status"] == "submitting"
    first.join()
    assert (answers[0].status_code, answers[0].json()["id"]) == (201, again.json()["id"])
    assert len(provider.sent) == 1


def test_the_same_key_with_another_body_is_409(serving: Serving, provider: RecordingProvider) -> None:
    keyed(serving, "k1")
    assert is_problem(keyed(serving, "k1", {**CALL, "flow_id": "25"}), 409)
    assert len(provider.sent) == 1


def test_a_422_is_not_remembered(serving: Serving) -> None:
    assert keyed(serving, "k1", {"to": "1"}).status_code == 422
    assert keyed(serving, "k1").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\xe9", "a\tb"])
def test_a_key_that_is_none_is_422(serving: Serving, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    headers.append((b"authorization", b"Bearer the-api-token-of-the-tests"))
    response = serving.client.post("/api/v1/calls", content=json.dumps(CALL).encode(), headers=headers)

    assert is_problem(response, 422, "Idempotency-Key")


# Idempotency-Key of a retry


def retried(serving: Serving, call: str, key: str, body: Any = None) -> Any:
    return serving.api("POST", f"/calls/{call}/retry", body, headers={"Idempotency-Key": key})


def answered(serving: Serving, provider: RecordingProvider, word: str, **fields: Any) -> str:
    """A call that is over, with this word of the provider's; gives its id."""
    call = serving.place(**fields)
    serving.callback({"id": call["submissions"][0]["submission_id"], "status": word})
    serving.settled(call["id"])
    return str(call["id"])


def test_a_repeated_retry_is_the_same_attempt(serving: Serving, provider: RecordingProvider) -> None:
    """Whose answer was lost asks again, and by then the second attempt may be over: the phone rings once for it."""
    call = answered(serving, provider, "BUSY")
    first = retried(serving, call, "r1", {})
    again = retried(serving, call, "r1")

    assert (first.status_code, again.status_code) == (201, 200)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    serving.callback({"id": first.json()["submission_id"], "status": "NOANSWER"})
    serving.settled(call)
    later = retried(serving, call, "r1")
    assert (later.status_code, later.json()["id"]) == (200, first.json()["id"])
    assert (later.json()["status"], later.json()["number"]) == ("no-answer", 2)
    assert len(provider.sent) == 2
    assert retried(serving, call, "r2").json()["number"] == 3
    assert retried(serving, call, "r1").json()["number"] == 2


def test_a_key_stands_for_one_request_alone(serving: Serving, provider: RecordingProvider) -> None:
    call, other = answered(serving, provider, "BUSY"), answered(serving, provider, "BUSY", to="+918867130003")
    placed = keyed(serving, "k1").json()
    assert retried(serving, call, "r1").status_code == 201

    assert is_problem(retried(serving, call, "r1", {"force": True}), 409)
    assert is_problem(retried(serving, other, "r1"), 409)
    assert is_problem(retried(serving, placed["id"], "k1"), 409)
    assert is_problem(keyed(serving, "r1"), 409)
    assert len(provider.sent) == 4


def test_a_retry_that_was_refused_is_not_remembered(serving: Serving, provider: RecordingProvider) -> None:
    call = serving.place()
    assert is_problem(retried(serving, call["id"], "r1"), 409)
    serving.callback({"id": call["submissions"][0]["submission_id"], "status": "BUSY"})
    serving.settled(call["id"])

    assert retried(serving, call["id"], "r1").status_code == 201
    assert is_problem(retried(serving, call["id"], "r 1"), 422, "Idempotency-Key")
    assert len(provider.sent) == 2


# cancel, retry, join, ignore


def test_canceling_before_it_leaves_is_200(serving: Serving, provider: RecordingProvider) -> None:
    call = serving.place(not_before="2099-01-01T00:00:00Z")["id"]
    response = serving.api("POST", f"/calls/{call}/cancel")

    found = response.json()
    assert (response.status_code, found["status"], found["reason"]) == (200, "canceled", "operator")
    assert found["settled"] is True
    assert is_problem(serving.api("POST", f"/calls/{call}/cancel"), 409)
    assert provider.sent == []


def test_canceling_later_is_202_and_the_outcome_stands(serving: Serving, provider: RecordingProvider) -> None:
    provider.sends.append(accepted(PROVIDERS_ID))
    call = serving.place()["id"]
    response = serving.api("POST", f"/calls/{call}/cancel", {})

    assert (response.status_code, response.json()["cancel_requested"]) == (202, True)
    # to give up is for what was lost by restoring a backup
    assert serving.api("POST", f"/calls/{call}/cancel", {"force": True}).status_code == 202
    assert is_problem(serving.api("POST", f"/calls/{call}/cancel", {"force": "yes"}), 422, "force")
    serving.callback({"id": PROVIDERS_ID, "status": "ANSWER"})
    assert serving.settled(call)["status"] == "completed"
    assert is_problem(serving.api("POST", f"/calls/{call}/cancel"), 409)


def test_a_retry_waits_for_the_open_attempt_and_for_force(
    serving: Serving, provider: RecordingProvider
) -> None:
    provider.sends.append(accepted(PROVIDERS_ID))
    call = serving.place()["id"]
    assert is_problem(serving.api("POST", f"/calls/{call}/retry"), 409)
    assert is_problem(serving.api("POST", f"/calls/{call}/retry", {"force": True}), 409)

    serving.callback({"id": PROVIDERS_ID, "status": "ANSWER"})
    serving.settled(call)
    assert is_problem(serving.api("POST", f"/calls/{call}/retry"), 409)
    assert is_problem(serving.api("POST", f"/calls/{call}/retry", {"force": False}), 409)
    assert is_problem(serving.api("POST", f"/calls/{call}/retry", {"force": "yes"}), 422, "force")
    assert is_problem(serving.api("POST", f"/calls/{call}/retry", {"x": 1}), 422, "x")
    assert serving.api("POST", f"/calls/{call}/retry", {"force": True}).status_code == 201
    found = serving.get(f"/calls/{call}")
    assert [s["trigger"] for s in found["submissions"]] == ["first", "operator"]
    assert len(provider.sent) == 2


def test_a_callback_is_joined_moved_and_ignored_by_hand(
    serving: Serving, provider: RecordingProvider
) -> None:
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
    assert (joined.json()["state"], joined.json()["matched_by"], joined.json()["call"]) == (
        "joined",
        "operator",
        one["id"],
    )
    assert serving.get(f"/calls/{one['id']}")["status"] == "busy"

    moved = serving.api(
        "POST", f"{path}/join", {"submission_id": other["submissions"][0]["submission_id"], "force": True}
    )
    assert (moved.status_code, moved.json()["call"]) == (200, other["id"])
    assert serving.get(f"/calls/{one['id']}")["status"] == "queued"
    assert len(serving.get(f"/calls/{one['id']}/evidence")["withdrawn"]) >= 1

    ignored = serving.api("POST", f"{path}/ignore")
    assert (ignored.status_code, ignored.json()["state"], ignored.json()["reason"]) == (
        200,
        "ignored",
        "operator",
    )
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


def test_what_holds_no_record_cannot_be_joined(serving: Serving) -> None:
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
def test_what_holds_no_record_can_be_ignored(
    serving: Serving, secret: str | None, body: bytes, state: str, reason: str
) -> None:
    submission = serving.place()["submissions"][0]["id"]
    serving.callback(body, secret=secret)
    (callback,) = eventually(lambda: serving.stored_callbacks(state), "it is not there")
    path = f"/callbacks/{callback['id']}"
    ignored, again = (serving.api("POST", f"{path}/ignore").json() for _ in range(2))
    assert (ignored["state"], ignored["reason"]) == ("ignored", reason)
    assert again == ignored
    assert ignored["request"]["body"] == body.decode()
    assert is_problem(serving.api("POST", f"{path}/join", {"submission": submission}), 409)
    status = serving.database.read(lambda c: load_system_status(c, ["thundersms"], serving.clock()))
    account = status.accounts["thundersms"]
    assert (account.last_callback_at is not None) == (state == "unreadable")
    assert account.last_quarantined_at is None


def test_secret_variables_are_in_no_answer(sqlite_url: str, provider: RecordingProvider) -> None:
    with Serving(sqlite_url, provider.base_url, secret_variables=["otp"]) as serving:
        call = serving.place(variables={"otp": "987654", "Name": "Asha"})

        documents = [call, serving.get(f"/calls/{call['id']}/evidence"), serving.get("/calls")]
        assert provider.sent[0].json()["variables[otp]"] == "987654"
        assert all("987654" not in json.dumps(each) for each in documents)
        assert all(SECRET not in json.dumps(each) for each in documents)
        assert call["variables"]["Name"] == "Asha"
