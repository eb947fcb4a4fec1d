"""Who is at the door: secrets compared in constant time, secrets replaced before storing, the caller's address."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, quote_plus

from starlette.requests import Request
from starlette.types import Scope

from tracker.domain.accounts import Account

Headers = tuple[tuple[bytes, bytes], ...]

MASK: Final = b"***"
#: a secret that is shorter would tear holes into numbers and ids
_SHORTEST_REPLACED: Final = 4


def same(presented: bytes, known: Iterable[str | None]) -> bool:
    """Whether what was presented is one of the known secrets. Every one is looked at, so the time tells nothing."""
    found = False
    for secret in known:
        if secret:
            found |= hmac.compare_digest(presented, secret.encode())
    return found


def bearer(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """The token of `Authorization: Bearer …`."""
    for name, value in headers:
        scheme, _, token = value.strip().partition(b" ")
        if name.lower() == b"authorization" and scheme.lower() == b"bearer":
            return token.strip()
    return None


class Doorkeeper:
    """Knows all secrets of the configuration, and whose word about the caller's address is believed."""

    def __init__(
        self, accounts: Mapping[str, Account], secrets: Iterable[str], trusted_proxies: Iterable[str]
    ) -> None:
        self._trusted = [ipaddress.ip_network(each, strict=False) for each in trusted_proxies]
        known = {s for s in secrets if len(s) >= _SHORTEST_REPLACED}
        for account in accounts.values():
            known |= {s for s in account.secrets if len(s) >= _SHORTEST_REPLACED}
        spelled = {form for s in known for form in _spellings(s)}
        # longer ones first: one secret may be the beginning of another
        self._spelled = sorted((s.encode() for s in spelled), key=len, reverse=True)

    def without_secrets(self, data: bytes) -> bytes:
        """The data with every occurrence of a configured secret replaced."""
        for secret in self._spelled:
            if secret in data:
                data = data.replace(secret, MASK)
        return data

    def headers_without_secrets(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        return tuple((self.without_secrets(name), self.without_secrets(value)) for name, value in headers)

    def lane(self, lane: str | None) -> str | None:
        """A lane as it is stored: whoever calls chose its text."""
        if lane is None:
            return None
        storable = self.without_secrets(lane.replace("\x00", "\ufffd").encode("utf-8", "replace"))
        return storable.decode("utf-8", "replace")[:200]

    def remote(self, scope: Scope) -> str | None:
        """The caller's address: the peer's, or what a trusted proxy says of it (the last entry that is no proxy)."""
        client = scope.get("client")
        address = str(client[0]) if client else None
        if address is None or not self._is_trusted(address):
            return address
        forwarded = b",".join(v for k, v in scope["headers"] if k == b"x-forwarded-for").decode("latin-1")
        for entry in reversed([e.strip() for e in forwarded.split(",") if e.strip()]):
            host = entry.removeprefix("[").partition("]")[0] if entry.startswith("[") else entry
            if _address(host) is None:
                return address
            address = host
            if not self._is_trusted(host):
                break
        return address

    def _is_trusted(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)


def _spellings(secret: str) -> set[str]:
    """The secret as it is, and as it stands in a URL, a form and JSON."""
    quoted = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    quoted |= {re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), each) for each in quoted}
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return {secret, *quoted, *escaped, *(each.replace("/", "\\/") for each in escaped)}


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # a server that listens on :: sees a caller by IPv4 as ::ffff:a.b.c.d
    return getattr(address, "ipv4_mapped", None) or address


def raw_headers(request: Request[Any]) -> Headers:
    """The headers as they came, names in lower case."""
    return tuple(request.scope["headers"])
