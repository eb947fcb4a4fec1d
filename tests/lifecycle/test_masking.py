"""Tests that a secret which the provider echoes is in no table, however the provider spells it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, Told, callstatus
from tracker.store.schema import tables

TOKEN = "abcd/efgh+ij=="
OTP = "kx 839/201"
#: how a secret can come back: as it is, as PHP's json_encode writes it, in code points, in a URL, in a form
SPELLINGS = {
    "plain": str,
    "json": lambda secret: secret.replace("/", r"\/"),
    "code points": lambda secret: "".join(f"\\u{ord(character):04X}" for character in secret),
    "percent": lambda secret: quote(secret, safe=""),
    "percent in lower case": lambda secret: quote(secret, safe="").lower(),
    "form": quote_plus,
}


@pytest.fixture(params=SPELLINGS)
def spell(request: pytest.FixtureRequest) -> Any:
    """A function that spells a secret in one of the ways."""
    return SPELLINGS[request.param]


def stored_exchange(house: House) -> tuple[bytes, bytes, str]:
    """The headers and the body of the only stored answer, and the details of all events."""

    def query(c: Any) -> tuple[bytes, bytes, str]:
        row = c.execute(sa.select(tables.exchanges.c.reply_headers, tables.exchanges.c.reply_body)).one()
        return row[0], row[1], json.dumps(c.scalars(sa.select(tables.events.c.detail)).all())

    return house.database.read(query)


def test_submit_answer_hides_echoed_secrets_in_every_spelling(
    house: House, provider: RecordingProvider, spell: Any
) -> None:
    house.with_account(access_token=TOKEN, secret_variables=("otp",))
    echoed = f"{spell(TOKEN)} and {spell(OTP)}".encode()
    body = b'{"status": "ERROR", "message": "no flow for ' + echoed + b'"}'
    provider.sends.append(Told(status=422, body=body, headers={"X-Echo": echoed.decode()}))

    house.place(variables={"otp": OTP})

    headers, stored, details = stored_exchange(house)
    assert stored == b'{"status": "ERROR", "message": "no flow for *** and ***"}'
    assert b"X-Echo: *** and ***\r\n" in headers
    assert "HTTP 422; no flow for *** and ***" in details


def test_status_answer_hides_echoed_secrets_in_every_spelling(
    house: House, provider: RecordingProvider, spell: Any
) -> None:
    house.with_account(access_token=TOKEN)
    call = house.place()
    row = {
        "id": house.provider_id(call),
        "status": "BUSY",
        "recording_url": "https://example.com/?token=ECHO",
    }
    body = callstatus(row).body.replace(b"ECHO", spell(TOKEN).encode())
    provider.polls.append(Told(body=body))

    poll = asyncio.run(house.program.poller.poll(house.submissions(call)[0].id))

    assert [report.recording_url for report in poll.reports] == ["https://example.com/?token=***"]
    stored = house.database.read(lambda c: c.scalars(sa.select(tables.exchanges.c.reply_body)).all())
    assert any(b"https://example.com/?token=***" in body for body in stored)
    assert "https://example.com/?token=***" in json.dumps([e.detail for e in house.events(call)])
