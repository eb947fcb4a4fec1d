"""The request that brings a callback: its head, its authentication, and the rows that it can become."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from tracker.domain.accounts import Account
from tracker.domain.call_reports import WebhookChallenge
from tracker.logs.redaction import MASK
from tracker.providers.base import CallbackRequest, Provider
from tracker.store.ids import receipt_id
from tracker.store.inbox import states
from tracker.store.inbox.log import NewCallback
from tracker.store.inbox.quarantine import SHOWED_NONE, SHOWED_WRONG
from tracker.web.auth import matches_any_secret
from tracker.web.callbacks.sanitize import Headers, RequestSanitizer

#: Bytes of a webhook challenge that arrives without a valid secret.
CHALLENGE_BYTES: Final = 4 * 1024
#: Bytes of headers that a quarantined request keeps. Its path and query are short: `limits.URL_BYTES`.
_QUARANTINE_HEADER_BYTES: Final = 16 * 1024


class RequestHead(NamedTuple):
    """A request to a callback address before its body is read.

    account and lane: from the path, decoded. path: as sent, without the query. headers: with names in lower case.
    content_length: declared bytes of the body, None if it comes in chunks. client: the peer's address and port.
    """

    method: str
    account: str
    lane: str | None
    path: bytes
    query: bytes
    headers: Headers
    content_length: int | None
    client: Sequence[object] | None


class InboundCallback:
    """A request to the callback address of a configured account."""

    __slots__ = ("_provider", "_sanitizer", "account", "has_secret", "head", "presented_secrets")

    def __init__(
        self, head: RequestHead, account: Account, provider: Provider, sanitizer: RequestSanitizer
    ) -> None:
        self.head, self.account, self._provider, self._sanitizer = head, account, provider, sanitizer
        self.presented_secrets = provider.presented_secrets(tuple(head.headers))
        self.has_secret = any(matches_any_secret(p, account.webhook_secrets) for p in self.presented_secrets)

    @property
    def is_authenticated(self) -> bool:
        """Whether the request carries a webhook secret of its account, or needs none."""
        return self.has_secret or self.account.allow_unsigned

    def find_challenge(self, body: bytes) -> WebhookChallenge | None:
        """Return the webhook challenge in this request, if it carries the account's `webhook_token`."""
        if not self.has_secret and len(body) > CHALLENGE_BYTES:
            return None
        head = self.head
        challenge = self._provider.parse_webhook_challenge(
            CallbackRequest(
                method=head.method, path=head.path, query=head.query, headers=tuple(head.headers), body=body
            )
        )
        if challenge is None:
            return None
        known = [self.account.webhook_token]
        presented = (token.encode("utf-8", "replace") for token in challenge.tokens)
        return challenge if any(matches_any_secret(token, known) for token in presented) else None

    def to_row(
        self, body: bytes, received_at: datetime, state: str = states.PENDING, reason: str | None = None
    ) -> NewCallback:
        """Return the request as a row of the inbox, with every configured secret masked."""
        head, sanitizer = self.head, self._sanitizer
        return NewCallback(
            receipt_id(received_at), self.account.name, sanitizer.clean_lane(head.lane), received_at, head.method,
            len(body), sanitizer.client_address(head.client, head.headers), state, reason, None,
            sanitizer.mask(head.path), sanitizer.mask(head.query) if head.query else b"",
            sanitizer.pack_headers(head.headers), sanitizer.mask(body),
        )  # fmt: skip

    def to_quarantine_row(self, body: bytes, size: int, received_at: datetime) -> NewCallback:
        """Return the unauthenticated request as a row of the inbox.

        body: its beginning. size: the bytes of the body that have arrived.
        """
        cause = SHOWED_WRONG if self.presented_secrets else SHOWED_NONE
        # A presented secret may be another system's, so it is masked whole. The inbox stores its fingerprint.
        headers = [
            (name, MASK.encode() if name == b"authorization" else value)
            for name, value in _first_headers(self.head.headers, _QUARANTINE_HEADER_BYTES)
        ]
        row = self.to_row(body, received_at, states.QUARANTINED, cause)
        return row._replace(headers=self._sanitizer.pack_headers(headers), size=size)


def _first_headers(headers: Headers, limit: int) -> Headers:
    """Return the longest run of leading headers whose names and values have at most `limit` bytes."""
    kept = []
    for name, value in headers:
        limit -= len(name) + len(value)
        if limit < 0:
            break
        kept.append((name, value))
    return kept
