"""The sample callbacks of ThunderSMS are parsed as real ones are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.conftest import NUMBER
from tracker.domain.accounts import Account
from tracker.domain.call_reports import CallReport
from tracker.providers.base import CallbackRequest
from tracker.providers.registry import get_provider
from tracker.providers.thundersms import samples

ACCOUNT = Account(name="thundersms", bridge="918068280000")


NOW = datetime(2026, 11, 23, 13, 30, tzinfo=UTC)


def read(account: Account, body: dict[str, Any]) -> CallReport:
    incoming = CallbackRequest(
        method="POST", path=b"/", query=b"", headers=((b"Content-Type", b"application/json"),),
        body=samples.encode_body(body),
    )  # fmt: skip
    said = get_provider("thundersms").parse_callback(account, incoming)
    assert isinstance(said, CallReport)
    return said


@pytest.mark.parametrize("word", samples.SAMPLE_STATUSES)
def test_sample_of_each_outcome_is_parsed(word: str) -> None:
    for body in (
        samples.default_callback(ACCOUNT, word, NOW, to=NUMBER, message_id=None),
        samples.composed_callback(ACCOUNT, word, NOW, to=NUMBER, id=None),
    ):
        said = read(ACCOUNT, body)
        assert said.provider_status == samples.SAMPLE_STATUSES[word]
        assert said.status is not None
        assert (said.to, said.ended_at) == (NUMBER, NOW)
        assert said.started_at is not None
        assert NOW - said.started_at < timedelta(minutes=1)


def test_only_composed_samples_name_a_submission() -> None:
    assert read(ACCOUNT, samples.default_callback(ACCOUNT, "busy", NOW, to=NUMBER, message_id="m")).ids == ()
    assert read(ACCOUNT, samples.composed_callback(ACCOUNT, "busy", NOW, to=NUMBER, id="abc:1")).ids == (
        "abc:1",
    )


def test_composed_sample_uses_the_account_callback_keys() -> None:
    keys = {"id": "outgoing.call_id", "status": "message_status", "to": "outgoing.mobile"}
    account = Account(name="thundersms", callback_keys=keys)
    body = samples.composed_callback(account, "busy", NOW, to=NUMBER, id="abc:1")
    assert body["outgoing"] == {"call_id": "abc:1", "mobile": NUMBER[1:]}
    said = read(account, body)
    assert (said.ids, said.provider_status, said.to) == (("abc:1",), "BUSY", NUMBER)
