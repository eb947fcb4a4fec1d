"""Who is at the door, and what of a request may be stored."""

from __future__ import annotations

import pytest

from tracker.domain.accounts import Account
from tracker.web.auth import bearer_token, matches_any_secret
from tracker.web.callbacks.sanitize import RequestSanitizer

SECRET = 'p/ss "wörd" +1'


def keeper(*trusted: str, secrets: tuple[str, ...] = (SECRET,), cache_size: int = 100) -> RequestSanitizer:
    return RequestSanitizer({}, secrets, trusted, cache_size=cache_size)


def scope(peer: str | None, *forwarded: str) -> tuple[tuple[str, int] | None, list[tuple[bytes, bytes]]]:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    return (peer, 4711) if peer else None, headers


# secrets


def test_every_secret_of_every_account_is_replaced() -> None:
    account = Account(
        name="a", access_token="access", webhook_token="validation", webhook_secrets=("one!", "two!")
    )
    found = RequestSanitizer({"a": account}, ["the-api-token"], [])
    data = b"access validation one! two! the-api-token rest"
    assert found.mask(data) == b"*** *** *** *** *** rest"


def test_names_and_values_of_headers_lose_secrets() -> None:
    headers = ((b"x-secret", b"a secret"), (b"authorization", b"Bearer secret"))
    told = keeper(secrets=("secret",)).pack_headers(headers)
    assert told == b"x-***: a ***\r\nauthorization: Bearer ***\r\n"


@pytest.mark.parametrize(
    ("lane", "kept"),
    [(None, None), ("a", "a"), ("a-secret", "a-***"), ("\x00\ud800", "\ufffd?"), ("x" * 201, "x" * 200)],
)
def test_a_lane_is_kept_as_a_text_that_every_database_takes(lane: str | None, kept: str | None) -> None:
    assert keeper(secrets=("secret",)).clean_lane(lane) == kept


@pytest.mark.parametrize(
    ("presented", "known", "is_one"),
    [
        (b"one", ["one", "two"], True),
        (b"two", ["one", "two"], True),
        (b"three", ["one", "two"], False),
        (b"", ["", None], False),
        (b"None", [None], False),
        ("wörd".encode(), ["wörd"], True),
        ("wörd".encode("latin-1"), ["wörd"], False),
    ],
)
def test_a_presented_secret_is_one_of_the_known_or_none(
    presented: bytes, known: list[str | None], is_one: bool
) -> None:
    assert matches_any_secret(presented, known) is is_one


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"Authorization", b"  bearer   abc ")], b"abc"),
        ([(b"authorization", b"Basic abc")], None),
        ([(b"authorization", b"abc")], None),
        ([(b"x-authorization", b"Bearer abc")], None),
        ([], None),
    ],
)
def test_the_token_stands_in_the_authorization(
    headers: list[tuple[bytes, bytes]], token: bytes | None
) -> None:
    assert bearer_token(headers) == token


# addresses


@pytest.mark.parametrize(
    ("peer", "forwarded", "remote"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        # only a trusted proxy's word counts
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # what stands left of the first stranger was written by that stranger
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1, 10.1.2.3"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        # what is no address ends the chain
        ("127.0.0.1", ["198.51.100.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("a-unix-socket", ["198.51.100.1"], "a-unix-socket"),
        (None, ["198.51.100.1"], None),
    ],
)
def test_the_callers_address_is_the_last_one_that_is_no_trusted_proxy(
    peer: str | None, forwarded: list[str], remote: str | None
) -> None:
    assert keeper("127.0.0.1", "10.0.0.0/8").client_address(*scope(peer, *forwarded)) == remote


def test_sanitizer_is_right_when_its_caches_are_full() -> None:
    sanitizer = keeper("10.0.0.0/8", secrets=("secret",), cache_size=3)
    for n in [*range(10), *range(10)]:
        name, value = b"x-%d" % n, b"secret" * 200 if n == 7 else b"value"
        packed = name + b": " + value.replace(b"secret", b"***") + b"\r\n"
        assert sanitizer.pack_headers([(name, value)]) == packed
        assert sanitizer.client_address(*scope(f"10.0.0.{n}", "192.0.2.1")) == "192.0.2.1"
        assert sanitizer.client_address(*scope(f"11.0.0.{n}", "192.0.2.1")) == f"11.0.0.{n}"
