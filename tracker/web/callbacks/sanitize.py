"""Prepare requests for storing: mask secrets, make the lane storable, find the client's address."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tracker.domain.accounts import Account
from tracker.logs.redaction import SecretMasker
from tracker.store.inbox.states import pack_headers

Headers = Sequence[tuple[bytes, bytes]]

#: how many headers and addresses are remembered, and how long such a header may be
_REMEMBERED: Final = 2_000
_REMEMBERED_BYTES: Final = 512
#: an address of IPv4 and a port, as some proxies write it
_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]+", re.ASCII)


class RequestSanitizer:
    """Knows all secrets of the configuration, and whose word about the caller's address is believed."""

    def __init__(
        self, accounts: Mapping[str, Account], secrets: Iterable[str], trusted_proxies: Iterable[str]
    ) -> None:
        self._trusted = [ipaddress.ip_network(each, strict=False) for each in trusted_proxies]
        self._masker = SecretMasker([*secrets, *(s for a in accounts.values() for s in a.secrets)])
        #: headers as they are stored, and addresses, that were seen before
        self._lines: dict[tuple[bytes, bytes], bytes] = {}
        self._trusts: dict[str, bool] = {}

    def without_secrets(self, data: bytes) -> bytes:
        """The data with every occurrence of a configured secret replaced."""
        return self._masker.mask_bytes(data)

    def packed_without_secrets(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Headers as they are stored, names and values without secrets. Most come again and again."""
        known = self._lines
        lines = []
        for header in headers:
            line = known.get(header)
            if line is None:
                name, value = header
                line = pack_headers(((self.without_secrets(name), self.without_secrets(value)),))
                if len(line) <= _REMEMBERED_BYTES:
                    if len(known) >= _REMEMBERED:
                        known.clear()
                    known[header] = line
            lines.append(line)
        return b"".join(lines)

    def lane(self, lane: str | None) -> str | None:
        """A lane as it is stored: whoever calls chose its text."""
        if lane is None:
            return None
        storable = self.without_secrets(lane.replace("\x00", "\ufffd").encode("utf-8", "replace"))
        return storable.decode("utf-8", "replace")[:200]

    def remote(self, client: Sequence[object] | None, headers: Headers) -> str | None:
        """The caller's address: the peer's, or what a trusted proxy says of it (the last entry that is no proxy)."""
        address = str(client[0]) if client else None
        if address is None or not self._trusted or not self._is_trusted(address):
            return address
        forwarded = b",".join(v for k, v in headers if k == b"x-forwarded-for").decode("latin-1")
        for entry in reversed([e.strip() for e in forwarded.split(",") if e.strip()]):
            if entry.startswith("["):
                host = entry[1:].partition("]")[0]
            else:
                host = with_port[1] if (with_port := _WITH_PORT.fullmatch(entry)) else entry
            if _address(host) is None:
                return address
            address = host
            if not self._is_trusted(host):
                break
        return address

    def _is_trusted(self, text: str) -> bool:
        known = self._trusts.get(text)
        if known is None:
            address = _address(text)
            known = address is not None and any(address in network for network in self._trusted)
            if len(self._trusts) >= _REMEMBERED:
                self._trusts.clear()
            self._trusts[text] = known
        return known


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if getattr(address, "scope_id", None):  # any text may stand there
        return None
    # a server that listens on :: sees a caller by IPv4 as ::ffff:a.b.c.d
    return getattr(address, "ipv4_mapped", None) or address
