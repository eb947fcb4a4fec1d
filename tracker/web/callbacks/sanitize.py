"""Prepare requests for storing: mask secrets, make the lane storable, find the client's address."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from tracker.domain.accounts import Account
from tracker.logs.redaction import SecretMasker
from tracker.store.inbox.log import pack_headers

Headers = Sequence[tuple[bytes, bytes]]

#: Masked headers and parsed addresses that are remembered, because most occur in every callback.
_CACHE_SIZE: Final = 2_000
#: Bytes of a header that is remembered.
_MAX_CACHED_BYTES: Final = 512
#: Characters of a lane that are stored.
_MAX_LANE_LENGTH: Final = 200
#: An IPv4 address with a port, as some proxies write it.
_IPV4_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]+", re.ASCII)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RequestSanitizer:
    """The configured secrets, which are masked in requests, and the proxies that are trusted about client addresses."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        secrets: Iterable[str],
        trusted_proxies: Iterable[str],
        *,
        cache_size: int = _CACHE_SIZE,
    ) -> None:
        """secrets: those that belong to no account. trusted_proxies: addresses and networks."""
        self._trusted = [ipaddress.ip_network(each, strict=False) for each in trusted_proxies]
        self._masker = SecretMasker([*secrets, *(s for a in accounts.values() for s in a.secrets)])
        self._pack_cached = lru_cache(cache_size)(self._pack_header)
        self._is_trusted = lru_cache(cache_size)(self._is_in_trusted_network)

    def mask(self, data: bytes) -> bytes:
        """Return the data with every occurrence of a configured secret replaced."""
        return self._masker.mask_bytes(data)

    def pack_headers(self, headers: Headers) -> bytes:
        """Return the headers in the form in which they are stored, with names and values masked."""
        lines = []
        for header in headers:
            is_short = len(header[0]) + len(header[1]) < _MAX_CACHED_BYTES
            lines.append(self._pack_cached(header) if is_short else self._pack_header(header))
        return b"".join(lines)

    def clean_lane(self, lane: str | None) -> str | None:
        """Return the lane in a form that every database can store. Its text is chosen by the client."""
        if lane is None:
            return None
        storable = self.mask(lane.replace("\x00", "\ufffd").encode("utf-8", "replace"))
        return storable.decode("utf-8", "replace")[:_MAX_LANE_LENGTH]

    def client_address(self, peer: Sequence[object] | None, headers: Headers) -> str | None:
        """Return the address of the client: that of the peer, or the one that trusted proxies say in X-Forwarded-For.

        Each proxy appends an entry. The last one that is no trusted proxy is the client. The entries before it were
        written by the client itself. peer: the address and port at the other end of the connection.
        """
        address = str(peer[0]) if peer else None
        if address is None or not self._trusted or not self._is_trusted(address):
            return address
        forwarded = b",".join(v for k, v in headers if k == b"x-forwarded-for").decode("latin-1")
        for entry in reversed([e.strip() for e in forwarded.split(",") if e.strip()]):
            host = _host_of(entry)
            if _parse_address(host) is None:
                return address
            address = host
            if not self._is_trusted(host):
                break
        return address

    def _pack_header(self, header: tuple[bytes, bytes]) -> bytes:
        name, value = header
        return pack_headers(((self.mask(name), self.mask(value)),))

    def _is_in_trusted_network(self, text: str) -> bool:
        address = _parse_address(text)
        return address is not None and any(address in network for network in self._trusted)


def _host_of(entry: str) -> str:
    """Return an entry of X-Forwarded-For without port and brackets."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    with_port = _IPV4_WITH_PORT.fullmatch(entry)
    return with_port[1] if with_port else entry


def _parse_address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if getattr(address, "scope_id", None):  # a scope id can be any text
        return None
    # A server that listens on :: sees an IPv4 client as ::ffff:a.b.c.d.
    return getattr(address, "ipv4_mapped", None) or address
