"""The rules for taking callbacks in: by the head of a request, by its body, and if the inbox does not take it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lifecycle.house import SettableClock
from tests.processes import SECRET
from tracker.domain.accounts import Account
from tracker.web.callbacks.inbound_callback import CHALLENGE_BYTES, InboundCallback, RequestHead
from tracker.web.callbacks.intake import OK, Action, CallbackIntake, Decision
from tracker.web.callbacks.sanitize import RequestSanitizer
from tracker.web.http.body import MAX_BYTES

TOKEN = "the-validation-key"
CHALLENGE = json.dumps({"challenge": "a234qwe", "validation_key": TOKEN}).encode()


def account(**fields: Any) -> Account:
    values = {"name": "thundersms", "access_token": "access", "webhook_secrets": (SECRET,), **fields}
    return Account(**values)


def intake(**fields: Any) -> CallbackIntake:
    accounts = {"thundersms": account(**fields)}
    return CallbackIntake(accounts, RequestSanitizer(accounts, [], []), SettableClock())


def head(
    *,
    method: str = "POST",
    name: str = "thundersms",
    lane: str | None = None,
    secret: str | None = SECRET,
    size: int | None = 2,
) -> RequestHead:
    headers = [(b"host", b"tracker")]
    if secret is not None:
        headers.append((b"authorization", b"Bearer " + secret.encode()))
    path = f"/callbacks/{name}".encode()
    return RequestHead(method, name, lane, path, b"", headers, size, ("127.0.0.1", 40000))


def callback(taking: CallbackIntake, **fields: Any) -> InboundCallback:
    found = taking.decide(head(**fields)).callback
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"name": "nobody"}, Action.REJECT_ACCOUNT),
        ({"name": "nobody", "method": "DELETE"}, Action.REJECT_ACCOUNT),
        ({"method": "DELETE"}, Action.REJECT_METHOD),
        ({"method": "DELETE", "secret": None}, Action.REJECT_METHOD),
        ({"size": MAX_BYTES + 1}, Action.REJECT_SIZE),
        ({"size": MAX_BYTES}, Action.ACCEPT),
        ({"size": None}, Action.ACCEPT),
        ({"method": "GET", "lane": "unknown"}, Action.ACCEPT),
        ({"secret": None}, Action.QUARANTINE),
        ({"secret": "wrong", "size": MAX_BYTES + 1}, Action.QUARANTINE),
    ],
)
def test_decision_follows_the_order_of_checks(fields: dict[str, Any], action: Action) -> None:
    decision = intake().decide(head(**fields))
    assert decision.action is action
    assert (decision.callback is None) == (decision.body_limit == 0)


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"secret": None}, Action.AWAIT_CHALLENGE),
        ({"secret": "wrong", "size": CHALLENGE_BYTES}, Action.AWAIT_CHALLENGE),
        ({"secret": "wrong", "size": None}, Action.AWAIT_CHALLENGE),
        ({"secret": "wrong", "size": CHALLENGE_BYTES + 1}, Action.QUARANTINE),
        ({}, Action.ACCEPT),
    ],
)
def test_decision_awaits_challenge_when_account_has_token(fields: dict[str, Any], action: Action) -> None:
    assert intake(webhook_token=TOKEN).decide(head(**fields)).action is action


def test_decision_limits_time_only_when_unauthenticated() -> None:
    taking = intake(webhook_token=TOKEN)
    authenticated = taking.decide(head())
    awaiting = taking.decide(head(secret=None))
    quarantine = taking.quarantine(callback(taking, secret=None))

    assert authenticated[2:] == (MAX_BYTES, None)
    assert awaiting[2:] == (CHALLENGE_BYTES, 1.0)
    assert quarantine[2:] == (64 * 1024, 0.25)
    assert all(isinstance(each, Decision) for each in (authenticated, awaiting, quarantine))


def test_unsigned_callback_is_accepted_when_allowed() -> None:
    taking = intake(allow_unsigned=True, webhook_secrets=())
    assert taking.decide(head(secret=None)).action is Action.ACCEPT
    accepted = taking.accept(callback(taking, secret=None), b"{}")
    assert accepted is not None
    assert (accepted.row.state, accepted.response) == ("pending", OK)


@pytest.mark.parametrize("secret", [SECRET, "wrong", None])
def test_challenge_is_stored_as_ignored_and_echoed(secret: str | None) -> None:
    taking = intake(webhook_token=TOKEN)
    accepted = taking.accept(callback(taking, secret=secret), CHALLENGE)
    assert accepted is not None
    assert (accepted.row.state, accepted.row.reason) == ("ignored", "handshake")
    assert json.loads(bytes(accepted.response.body)) == json.loads(CHALLENGE)
    assert TOKEN.encode() not in accepted.row.body


def test_unauthenticated_body_is_not_accepted() -> None:
    taking = intake(webhook_token=TOKEN)
    assert taking.accept(callback(taking, secret="wrong"), b'{"status":"BUSY"}') is None
    assert taking.accept(callback(taking, secret=None), CHALLENGE + b" " * CHALLENGE_BYTES) is None


def test_authenticated_body_is_accepted_unread() -> None:
    taking = intake()
    accepted = taking.accept(callback(taking, lane="unknown"), b"\xff no JSON")
    assert accepted is not None
    assert (accepted.row.state, accepted.row.lane, accepted.row.body) == (
        "pending",
        "unknown",
        b"\xff no JSON",
    )
    assert accepted.response is OK
