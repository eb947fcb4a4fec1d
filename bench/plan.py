"""Which calls there are and what the provider says of each: worked out from a call's number, the same wherever asked.

So the filling of databases, the bodies that are sent and the checks afterwards agree without a file between them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

BRIDGE: Final = "918068280000"
FLOW: Final = "24"
#: how callbacks may be ordered: as the calls were placed; mixed within windows; mixed as a whole
ORDERS: Final = ("placed", "windows", "shuffled")
WINDOW: Final = 5_000
#: calls of one campaign, and how many calls a number gets
_CAMPAIGN: Final = 20_000
_CALLS_A_NUMBER: Final = 3
#: the words of the provider, and of a hundred records how many have each
WORDS: Final = {"ANSWER": 55, "NOANSWER": 22, "BUSY": 12, "CANCEL": 4, "CONGESTION": 5, "CHANUNAVAIL": 2}
_WORD_OF: Final = [word for word, share in WORDS.items() for _ in range(share)]
#: the callback's times are in the provider's zone
_INDIA: Final = timedelta(hours=5, minutes=30)


@dataclass(frozen=True, kw_only=True)
class PlannedCall:
    """One call, before anything happened to it."""

    number: int
    #: E.164
    to: str
    campaign: str
    reference: str
    provider_id: str
    #: when it was placed
    at: datetime


class Plan:
    """`count` calls, placed one after the other within `span`, the last of them at `until`."""

    def __init__(
        self,
        count: int,
        *,
        until: datetime | None = None,
        span: timedelta = timedelta(minutes=30),
        seed: int = 1,
    ) -> None:
        self.count, self.span, self.seed = count, span, seed
        self.until = until or datetime.now(UTC).replace(microsecond=0)
        self._step = span / max(1, count)

    def call(self, n: int) -> PlannedCall:
        """The n-th call, from 0."""
        id = provider_uuid(n, self.seed)
        numbers = max(1, self.count // _CALLS_A_NUMBER)
        return PlannedCall(
            number=n,
            # spread over a range that is in use throughout, so that neighbours in time are none in the index
            to=f"+9198{(n % numbers) * 7_654_321 % 100_000_000:08d}",
            campaign=f"campaign-{n // _CAMPAIGN:04d}",
            reference=f"order-{n:08d}",
            provider_id=f"{id}:1",
            at=self.until - self.span + self._step * (n + 1),
        )

    def word(self, n: int) -> str:
        """The provider's word for how the n-th call ended."""
        return _WORD_OF[(n * 37 + 11) % 100]

    def callback(self, n: int) -> bytes:
        """The body of the callback for the n-th call: a composed webhook, whose template quotes every value."""
        word = self.word(n)
        return callback_body(self.call(n), word, duration_s=5 + n % 90)

    def order(self, how: str) -> Sequence[int]:
        """The numbers of all calls in one of `ORDERS`; the same for the same seed."""
        chance = random.Random(self.seed)
        numbers = list(range(self.count))
        if how == "shuffled":
            chance.shuffle(numbers)
        elif how == "windows":
            for start in range(0, self.count, WINDOW):
                window = numbers[start : start + WINDOW]
                chance.shuffle(window)
                numbers[start : start + WINDOW] = window
        return numbers


def callback_body(call: PlannedCall, word: str, *, duration_s: int) -> bytes:
    """What the provider says of a call that ended with this word; duration_s counts only where it was answered."""
    if word != "ANSWER":
        duration_s = 0
    start = call.at.replace(microsecond=0) + timedelta(seconds=20) + _INDIA
    end = start + timedelta(seconds=duration_s or 25)
    return (
        f'{{"id": "{call.provider_id}", "mid": "{call.provider_id[:-2]}", "to": "{call.to[1:]}", "from": "{BRIDGE}", '
        f'"bridge": "{BRIDGE}", "flow_id": "{FLOW}", "source": "OBD", "status": "{word}", '
        f'"start_at": "{start:%Y-%m-%d %H:%M:%S}", "end_at": "{end:%Y-%m-%d %H:%M:%S}", '
        f'"duration": "{duration_s}", "recording_url": "", "reference": "{call.reference}"}}'
    ).encode()


def provider_uuid(n: int, seed: int = 1) -> UUID:
    """The id that the provider gives the n-th submission, without its suffix."""
    return UUID(bytes=hashlib.blake2b(b"%d/%d" % (seed, n), digest_size=16).digest(), version=4)
