"""Parses the parameters of a list, which the API and the command line take as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final, TypeVar

from tracker.domain.calls import OUTCOMES, CallStatus
from tracker.domain.phone_numbers import InvalidNumber, parse_number
from tracker.domain.time_text import from_iso
from tracker.errors import FieldError, InvalidInput
from tracker.store.inbox.states import STATES
from tracker.store.read.callbacks import CallbackFilter
from tracker.store.read.calls import ORDERS, CallFilter

T = TypeVar("T")

DEFAULT_LIMIT: Final = 50
LARGEST_LIMIT: Final = 500
_TEXT_LENGTH: Final = 500
_STATUSES: Final = tuple(status.value for status in CallStatus)
_OUTCOMES: Final = tuple(status.value for status in CallStatus if status in OUTCOMES)


class ListParameters:
    """The parameters of one request for a list. Each is parsed alone, and `require_valid` raises for all wrong ones."""

    def __init__(
        self,
        values: Mapping[str, str],
        *,
        regions: Collection[str] = (),
        parse_time: Callable[[str], datetime] = from_iso,
    ) -> None:
        """values: as given, by name. regions: those of the accounts, by which numbers without a country code are read.

        parse_time: raises ValueError, which says what is allowed.
        """
        self._values = values
        self._regions = sorted(regions) or ["IN"]
        self._parse_time = parse_time
        self._known: set[str] = set()
        self._errors: list[FieldError] = []

    def call_filter(self) -> CallFilter:
        """Return the filter of a list of calls."""
        found = CallFilter(
            status=self._optional("status", lambda text: _several(text, _STATUSES)),
            outcome=self._optional("outcome", lambda text: _several(text, _OUTCOMES)),
            settled=self._optional("settled", _bool),
            answered=self._optional("answered", _bool),
            disputed=self._optional("disputed", _bool),
            account=self._optional("account", parse_filter_text),
            campaign=self._optional("campaign", parse_filter_text),
            to=self._optional("to", self._numbers),
            reference=self._optional("reference", parse_filter_text),
            submission_id=self._optional("submission_id", parse_filter_text),
            created_after=self._optional("created_after", self._parse_time),
            created_before=self._optional("created_before", self._parse_time),
            updated_after=self._optional("updated_after", self._parse_time),
        )
        if found.created_after and found.created_before and found.created_after > found.created_before:
            self.reject("created_after", "is later than `created_before`, so that no call can fit")
        return found

    def order(self) -> str:
        """Return the order of a list of calls, by default the newest first."""
        return self._parse("order", lambda text: _one_of(text, ORDERS), "-created_at")

    def callback_filter(self) -> CallbackFilter:
        """Return the filter of a list of callbacks."""
        return CallbackFilter(
            state=self._optional("state", lambda text: _one_of(text, STATES)),
            account=self._optional("account", parse_filter_text),
            call=self._optional("call", parse_filter_text),
        )

    def page(self) -> tuple[int, str | None]:
        """Return how many rows a page may have, and the cursor that it begins behind."""
        return self._parse("limit", _limit, DEFAULT_LIMIT), self._optional("cursor", parse_filter_text)

    def reject(self, name: str, message: str) -> None:
        """Note what is wrong with a parameter."""
        self._errors.append(FieldError(field=name, message=message))

    def require_valid(self) -> None:
        """Raise InvalidInput if a parameter is wrong, or is none of those that were parsed."""
        known = ", ".join(sorted(self._known)) or "none"
        for name in sorted(set(self._values) - self._known):
            self.reject(name, f"is not known; known are: {known}")
        if self._errors:
            raise InvalidInput(self._errors)

    def _optional(self, name: str, parse: Callable[[str], T]) -> T | None:
        return self._parse(name, parse, None)

    def _parse(self, name: str, parse: Callable[[str], T], default: T) -> T:
        self._known.add(name)
        text = self._values.get(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.reject(name, str(error))
            return default

    def _numbers(self, text: str) -> tuple[str, ...]:
        """Return all numbers that the text can mean: E.164 without its "+", or as dialled in a region."""
        # a + that was not encoded in a URL arrives as a space
        text, found, message = text.strip(), set(), ""
        for spelling in {text, text if text.startswith("+") else "+" + text}:
            for region in self._regions:
                try:
                    found.add(parse_number(spelling, region))
                except InvalidNumber as error:
                    message = str(error)
        if not found:
            raise ValueError(message)
        return tuple(sorted(found))


def parse_filter_text(text: str) -> str:
    """Accept text that every database can compare."""
    if not 1 <= len(text) <= _TEXT_LENGTH or "\x00" in text:
        raise ValueError(f"must be a text of 1 to {_TEXT_LENGTH} characters")
    return text


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= LARGEST_LIMIT:
        raise ValueError(f"must be a whole number from 1 to {LARGEST_LIMIT}")
    return int(text)


def _bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _one_of(text: str, known: Collection[str]) -> str:
    if text not in known:
        raise ValueError(f"must be one of: {', '.join(known)}")
    return text


def _several(text: str, known: Collection[str]) -> tuple[str, ...]:
    return tuple(_one_of(each.strip(), known) for each in text.split(","))
