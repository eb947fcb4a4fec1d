"""Bearer tokens, and their comparison with secrets."""

from __future__ import annotations

import pytest

from tracker.web.auth import bearer_token, matches_any_secret


@pytest.mark.parametrize(
    ("presented", "secrets", "matches"),
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
def test_presented_secret_matches_a_configured_one(
    presented: bytes, secrets: list[str | None], matches: bool
) -> None:
    assert matches_any_secret(presented, secrets) is matches


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
def test_bearer_token_is_read_from_authorization_header(
    headers: list[tuple[bytes, bytes]], token: bytes | None
) -> None:
    assert bearer_token(headers) == token
