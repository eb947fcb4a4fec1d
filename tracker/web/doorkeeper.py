"""Who is at the door: secrets compared in constant time, secrets replaced before storing, the caller's address."""

from __future__ import annotations

import hmac
import ipaddress
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
        spelled = {form for s in known for form in (s, quote(s), quote(s, safe=""), quote_plus(s))}
        # longer ones first: one secret may be the beginning of another
        self._spelled = sorted((s.encode() for s in spelled), key=len, reverse=True)

    def without_secrets(self, data: bytes) -> bytes:
        """The data with every occurrence of a configured secret replaced."""
        for secret in self._spelled:
            if secret in data:
                data = data.replace(secret, MASK)
        return data

    def headers_without_secrets(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        return tuple((name, self.without_secrets(value)) for name, value in headers)

    def remote(self, scope: Scope) -> str | None:
        """The caller's address: the peer's, or what a trusted proxy says of it (the last entry that is no proxy)."""
        client = scope.get("client")
        address = str(client[0]) if client else None
        if address is None or not self._is_trusted(address):
            return address
        forwarded = b",".join(v for k, v in scope["headers"] if k == b"x-forwarded-for").decode("latin-1")
        for entry in reversed([e.strip() for e in forwarded.split(",") if e.strip()]):
            host = entry.removeprefix("[").partition("]")[0] if entry.startswith("[") else entry
            if not _is_address(host):
                return address
            address = host
            if not self._is_trusted(host):
                break
        return address

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(
            ipaddress.ip_address(address) in network for network in self._trusted
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def raw_headers(request: Request[Any]) -> Headers:
    """The headers as they came, names in lower case."""
    return tuple(request.scope["headers"])
