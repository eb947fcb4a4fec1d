"""A callback on its way into the inbox: what is asked of it, and what of it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracker.clock import Clock
from tracker.domain.accounts import Account
from tracker.domain.call_reports import WebhookChallenge
from tracker.logs.redaction import MASK
from tracker.providers.base import Incoming, Provider
from tracker.store.ids import receipt_id
from tracker.store.inbox import states
from tracker.store.inbox.log import NewCallback
from tracker.store.inbox.quarantine import SHOWED_NONE, SHOWED_WRONG
from tracker.web.callbacks.sanitize import Headers, RequestSanitizer, matches_any_secret

#: whoever has no right secret may shake hands with so much
HANDSHAKE_BYTES: Final = 4 * 1024
#: of the headers of one who is not believed; its path and query are short, or it does not get this far
_QUARANTINE_HEADERS: Final = 16 * 1024


class InboundCallback:
    """One request to the address of an account."""

    __slots__ = (
        "_client", "_clock", "_keeper", "_provider", "account", "has_secret", "headers", "lane", "method", "path",
        "presented", "query",
    )  # fmt: skip

    def __init__(
        self,
        keeper: RequestSanitizer,
        clock: Clock,
        account: Account,
        provider: Provider,
        *,
        method: str,
        path: bytes,
        query: bytes,
        headers: Headers,
        client: Sequence[object] | None,
        lane: str | None,
    ) -> None:
        """headers: with names in lower case. client: the peer's address and port."""
        self._keeper, self._clock, self._provider, self._client = keeper, clock, provider, client
        self.account, self.lane = account, lane
        self.method, self.path, self.query, self.headers = method, path, query, headers
        self.presented = provider.presented_secrets(tuple(headers))
        self.has_secret = any(matches_any_secret(p, account.webhook_secrets) for p in self.presented)

    @property
    def is_believed(self) -> bool:
        return self.has_secret or self.account.allow_unsigned

    def handshake(self, body: bytes) -> WebhookChallenge | None:
        """The verification of the webhook, where this is one that may be answered."""
        if not self.has_secret and len(body) > HANDSHAKE_BYTES:
            return None
        found = self._provider.read_handshake(
            Incoming(
                method=self.method, path=self.path, query=self.query, headers=tuple(self.headers), body=body
            )
        )
        token = [self.account.webhook_token]
        known = found is not None and any(
            matches_any_secret(t.encode("utf-8", "replace"), token) for t in found.tokens
        )
        return found if known else None

    def new(self, body: bytes, state: str = states.PENDING, reason: str | None = None) -> NewCallback:
        """The request as it is stored, without secrets, received now."""
        keeper, at = self._keeper, self._clock()
        return NewCallback(
            receipt_id(at), self.account.name, keeper.lane(self.lane), at, self.method,
            keeper.without_secrets(self.path), keeper.without_secrets(self.query) if self.query else b"",
            keeper.packed_without_secrets(self.headers), keeper.without_secrets(body), len(body),
            keeper.remote(self._client, self.headers), state, reason,
        )  # fmt: skip

    def new_stranger(self, body: bytes, size: int) -> NewCallback:
        """The same of one that is not believed, of whose body `size` bytes have come."""
        cause = SHOWED_WRONG if self.presented else SHOWED_NONE
        # what was presented may be somebody's secret, though it is none of ours: its fingerprint is enough
        kept = _first(self.headers, _QUARANTINE_HEADERS)
        headers = [(k, MASK.encode() if k == b"authorization" else v) for k, v in kept]
        new = self.new(body, states.QUARANTINED, cause)
        return new._replace(headers=self._keeper.packed_without_secrets(headers), size=size)


def _first(headers: Headers, most: int) -> Headers:
    """The first headers, as many as have so many bytes together."""
    kept = []
    for name, value in headers:
        most -= len(name) + len(value)
        if most < 0:
            break
        kept.append((name, value))
    return kept
