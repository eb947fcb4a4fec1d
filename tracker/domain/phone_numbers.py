"""Telephone numbers: what people and providers write, made E.164.

The library phonenumbers turns letters into keypad digits, and digits of other scripts into ours: a masked
`91886713XXXX` would dial a stranger. So the characters are looked at first, and only digits reach it.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

_ALLOWED = re.compile(r" *\+?[0-9 \-.()]*", re.ASCII)
_NEVER = re.compile(r"(?!)")
_NOT_DIGITS = re.compile(r"[^0-9]")
_ONLY = "only digits, one leading +, spaces, -, ., ( and ) are allowed"

#: No number of any plan is longer; phonenumbers itself would work hard on a long text.
_MAX_DIGITS = 20


class InvalidNumber(ValueError):
    """The text is not a telephone number; the message says what is allowed."""


def keep_digits(text: str) -> str:
    """The ASCII digits of a text, in their order."""
    return _NOT_DIGITS.sub("", text)


def parse_number(text: str, region: str) -> str:
    """A number that a person wrote, as E.164 with "+".

    `region` (two letters, such as "IN") says how a number without a country code is read. Digits that are no
    number of that region are read as if they had a "+". Raises InvalidNumber.
    """
    plus, compact = _compact(text)
    if plus:
        found = _e164("+" + compact, None)
    else:
        found = _e164(compact, region.upper()) or _e164("+" + compact, None)
    if found is None:
        raise InvalidNumber(
            f"not a valid telephone number; write it with its country code, or as it is dialled in {region.upper()}"
        )
    return found


def parse_provider_number(value: object, region: str) -> str | None:
    """A number as a provider sends it (an integer or a text), as E.164 with "+"; None where it is none.

    Providers always send the country code, mostly without "+": that reading comes first, the region's own
    way of writing second. What is masked, too short or not valid is None: it could match no call of ours.
    """
    if isinstance(value, int):
        # bool is an int, and to write out a huge one is costly or refused
        value = str(value) if 0 < value < 10**_MAX_DIGITS and value is not True else ""
    if not isinstance(value, str):
        return None
    try:
        plus, compact = _compact(value)
    except InvalidNumber:
        return None
    if _mobiles_of(region.upper()).fullmatch(compact):
        return "+" + compact
    found = _e164("+" + compact, None)
    return found if found or plus else _e164(compact, region.upper())


def parse_bridge(text: str) -> str:
    """The number that calls, as 3 to 15 digits. Raises InvalidNumber."""
    _, compact = _compact(text)
    if not 3 <= len(compact) <= 15:
        raise InvalidNumber("a bridge has 3 to 15 digits")
    return compact


def _compact(text: str) -> tuple[bool, str]:
    """Whether there is a leading "+", and the digits."""
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return False, text  # as providers write them
    if not _ALLOWED.fullmatch(text):
        raise InvalidNumber(_ONLY)
    compact = keep_digits(text)
    if not compact:
        raise InvalidNumber(f"no digits in it; {_ONLY}")
    if len(compact) > _MAX_DIGITS:
        raise InvalidNumber("too many digits for a telephone number")
    return "+" in text, compact


@lru_cache(maxsize=64)
def _mobiles_of(region: str) -> re.Pattern[str]:
    """The mobile numbers of a region with its country code: nearly all that its accounts call, and all of them valid.

    By the library's own data, in a tenth of the time that it takes to look through all kinds of numbers. Whatever could
    be a number with the region's own prefix is left to the library.
    """
    data = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    mobile = data.mobile.national_number_pattern if data is not None and data.mobile is not None else None
    if data is None or mobile is None:
        return _NEVER
    own_prefix = f"(?!{data.national_prefix_for_parsing})" if data.national_prefix_for_parsing else ""
    return re.compile(f"{data.country_code}{own_prefix}(?:{mobile})")


@lru_cache(maxsize=4096)
def _e164(text: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
