"""What the sanitizer makes of requests before they are stored."""

from __future__ import annotations

import pytest

from tracker.domain.accounts import Account
from tracker.web.callbacks.sanitize import RequestSanitizer


def sanitizer(*trusted: str, secret: str = "secret", cache_size: int = 100) -> RequestSanitizer:
    return RequestSanitizer({}, [secret], trusted, cache_size=cache_size)


def peer_and_headers(
    peer: str | None, *forwarded: str
) -> tuple[tuple[str, int] | None, list[tuple[bytes, bytes]]]:
    """Return the other end of a connection, and headers with these values of X-Forwarded-For."""
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return (peer, 4711) if peer else None, headers


def test_secrets_of_accounts_and_server_are_masked() -> None:
    account = Account(
        name="a", access_token="access", webhook_token="validation", webhook_secrets=("one!", "two!")
    )
    all_secrets = RequestSanitizer({"a": account}, ["the-api-token"], [])
    data = b"access validation one! two! the-api-token rest"
    assert all_secrets.mask(data) == b"*** *** *** *** *** rest"


def test_header_names_and_values_are_masked() -> None:
    headers = ((b"x-secret", b"a secret"), (b"authorization", b"Bearer secret"))
    assert sanitizer().pack_headers(headers) == b"x-***: a ***\r\nauthorization: Bearer ***\r\n"


@pytest.mark.parametrize(
    ("lane", "stored"),
    [(None, None), ("a", "a"), ("a-secret", "a-***"), ("\x00\ud800", "\ufffd?"), ("x" * 201, "x" * 200)],
)
def test_lane_is_cleaned_for_every_database(lane: str | None, stored: str | None) -> None:
    assert sanitizer().clean_lane(lane) == stored


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        # Only trusted proxies can say who the client is.
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # Entries before the client's own were written by the client.
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1, 10.1.2.3"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("127.0.0.1", ["198.51.100.1:443"], "198.51.100.1"),
        # An entry that is no address ends the chain.
        ("127.0.0.1", ["198.51.100.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("a-unix-socket", ["198.51.100.1"], "a-unix-socket"),
        (None, ["198.51.100.1"], None),
    ],
)
def test_client_address_is_the_last_untrusted_one(
    peer: str | None, forwarded: list[str], address: str | None
) -> None:
    assert sanitizer("127.0.0.1", "10.0.0.0/8").client_address(*peer_and_headers(peer, *forwarded)) == address


def test_sanitizer_is_right_when_its_caches_are_full() -> None:
    small = sanitizer("10.0.0.0/8", cache_size=3)
    for n in [*range(10), *range(10)]:
        name, value = b"x-%d" % n, b"secret" * 200 if n == 7 else b"value"
        packed = name + b": " + value.replace(b"secret", b"***") + b"\r\n"
        assert small.pack_headers([(name, value)]) == packed
        assert small.client_address(*peer_and_headers(f"10.0.0.{n}", "192.0.2.1")) == "192.0.2.1"
        assert small.client_address(*peer_and_headers(f"11.0.0.{n}", "192.0.2.1")) == f"11.0.0.{n}"
