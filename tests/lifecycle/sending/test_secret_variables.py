"""Tests that secret variables and credentials are readable only as long as a request needs them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, error
from tracker.errors import Conflict
from tracker.providers.base import HttpResponse
from tracker.store.calls.secrets import load_secrets
from tracker.store.schema import tables

OTP = "kx-839201"
RATE_LIMITED = HttpResponse(
    status=429,
    headers=((b"content-type", b"application/json"), (b"retry-after", b"1")),
    body=error(429, "Too many").body,
)


def all_rows(house: House) -> str:
    """Return the rows of all tables as text."""
    with house.database.engine.connect() as c:
        return "\n".join(
            str(tuple(row)) for table in tables.metadata.sorted_tables for row in c.execute(sa.select(table))
        )


def test_secret_variable_is_erased_once_it_was_sent(house: House, provider: RecordingProvider) -> None:
    house.with_account(secret_variables=("otp",))
    call = house.place(variables={"Name": "Asha", "otp": OTP}, send=False)
    assert OTP in all_rows(house)
    house.submit(house.submissions(call)[0].id)
    assert provider.sent[0].json()["variables[otp]"] == OTP
    assert OTP not in all_rows(house)
    assert "Asha" in all_rows(house)


def test_secret_variable_is_kept_for_a_planned_resend(house: House, provider: RecordingProvider) -> None:
    house.with_account(secret_variables=("otp",))
    provider.sends.append(error(429, "Too many", Retry_After="1"))
    call = house.place(variables={"otp": OTP})
    house.program.sender.resend(house.submissions(call)[0].id)
    house.submit(house.submissions(call)[1].id)
    assert [s.json()["variables[otp]"] for s in provider.sent] == [OTP, OTP]
    assert OTP not in all_rows(house)


def test_secret_variable_is_erased_when_no_resend_follows(house: House) -> None:
    house.with_account(secret_variables=("otp",))
    call, claim = house.claim(variables={"otp": OTP})
    house.program.call_actions.cancel(call)
    house.program.sender.record_response(claim, RATE_LIMITED, house.clock())
    assert house.database.read(lambda c: load_secrets(c, call)) == {}


def test_resend_stops_when_secret_variables_are_erased(house: House) -> None:
    """The lease ended, so the secrets are gone; then the provider's 429 is recorded after all."""
    house.with_account(secret_variables=("otp",))
    call, claim = house.claim(variables={"otp": OTP})
    house.clock.forward(seconds=60)
    house.program.sender.end_leases()
    house.program.sender.record_response(claim, RATE_LIMITED, house.clock())
    timeline = house.timeline(call)
    assert (timeline.status, timeline.settled, timeline.next_attempt_at) == ("rejected", True, None)
    assert [e.reason for e in timeline.events if e.detail.get("decision") == "stop"] == ["secrets-erased"]
    house.program.sender.resend(house.submissions(call)[0].id)
    assert len(house.submissions(call)) == 1


@pytest.mark.parametrize("still_secret", [("otp",), ()])
def test_retry_is_refused_when_secret_variables_are_erased(
    house: House, provider: RecordingProvider, still_secret: tuple[str, ...]
) -> None:
    house.with_account(secret_variables=("otp",))
    call = house.place(variables={"otp": OTP})
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.with_account(secret_variables=still_secret)
    with pytest.raises(Conflict, match="otp"):
        house.program.call_actions.retry(call)
    assert len(provider.sent) == 1


def test_retry_sends_a_variable_that_became_secret_later(house: House, provider: RecordingProvider) -> None:
    call = house.place(variables={"otp": "not secret then"})
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.with_account(secret_variables=("otp",))
    house.submit(house.program.call_actions.retry(call).submission)
    assert [s.json()["variables[otp]"] for s in provider.sent] == ["not secret then"] * 2


def test_message_that_quotes_a_secret_variable_is_masked(house: House, provider: RecordingProvider) -> None:
    house.with_account(secret_variables=("otp",))
    provider.sends.append(error(422, f"the variable {OTP} is not a number"))
    call = house.place(variables={"otp": OTP})
    (rejected,) = [e for e in house.events(call) if e.status == "rejected"]
    assert rejected.detail["message"] == "HTTP 422; the variable *** is not a number"


def test_access_token_is_in_no_evidence(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(error(422, "a-token-of-the-account is not welcome"))
    house.place()
    assert provider.sent[0].headers["Authorization"] == "Bearer a-token-of-the-account"
    assert "a-token-of-the-account" not in all_rows(house)
