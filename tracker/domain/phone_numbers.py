"""Parses telephone numbers, as people and providers write them, into E.164.

The library phonenumbers turns letters into keypad digits, and digits of other scripts into ours. A masked
`91886713XXXX` would dial a stranger. So the characters are checked first, and only digits reach the library.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

_ALLOWED_CHARACTERS = re.compile(r" *\+?[0-9 \-.()]*", re.ASCII)
_MATCHES_NOTHING = re.compile(r"(?!)")
_NOT_DIGITS = re.compile(r"[^0-9]")
_ALLOWED_TEXT = "only digits, one leading +, spaces, -, ., ( and ) are allowed"

#: No numbering plan has longer numbers, and phonenumbers is slow on long texts.
_MAX_DIGITS = 20


class InvalidNumber(ValueError):
    """The text is not a telephone number. The message says what is allowed."""


def keep_digits(text: str) -> str:
    """Return the ASCII digits of a text."""
    return _NOT_DIGITS.sub("", text)


def parse_number(text: str, region: str) -> str:
    """Return a number that a person wrote as E.164 with "+".

    A number without a country code is read as one of `region` (two letters, such as "IN"). Digits that are no number
    of that region are read as if they had a "+". Raises InvalidNumber if the text is no valid number.
    """
    has_plus, digits = _split_plus(text)
    number = None if has_plus else _to_e164(digits, region.upper())
    number = number or _to_e164("+" + digits, None)
    if number is None:
        raise InvalidNumber(
            f"not a valid telephone number; write it with its country code, or as it is dialled in {region.upper()}"
        )
    return number


def parse_provider_number(value: object, region: str) -> str | None:
    """Return a number that a provider sent (an integer or a text) as E.164 with "+", or None if it is not valid.

    Providers always send the country code, mostly without "+". So the number is read with a country code first, and as
    one of `region` second. A masked or short number is None, because it could match no call of ours.
    """
    if isinstance(value, int):
        # bool is an int, and converting a huge integer to text is slow or refused
        value = str(value) if 0 < value < 10**_MAX_DIGITS and value is not True else ""
    if not isinstance(value, str):
        return None
    try:
        has_plus, digits = _split_plus(value)
    except InvalidNumber:
        return None
    if mobile_pattern(region.upper()).fullmatch(digits):
        return "+" + digits
    number = _to_e164("+" + digits, None)
    return number if number or has_plus else _to_e164(digits, region.upper())


def parse_bridge(text: str) -> str:
    """Return the number that calls, as 3 to 15 digits. Raises InvalidNumber for any other length."""
    _, digits = _split_plus(text)
    if not 3 <= len(digits) <= 15:
        raise InvalidNumber("a bridge has 3 to 15 digits")
    return digits


def _split_plus(text: str) -> tuple[bool, str]:
    """Return whether a text has a leading "+", and its digits. Raises InvalidNumber for characters or lengths."""
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return False, text  # the usual form of providers
    if not _ALLOWED_CHARACTERS.fullmatch(text):
        raise InvalidNumber(_ALLOWED_TEXT)
    digits = keep_digits(text)
    if not digits:
        raise InvalidNumber(f"has no digits; {_ALLOWED_TEXT}")
    if len(digits) > _MAX_DIGITS:
        raise InvalidNumber("too many digits for a telephone number")
    return "+" in text, digits


@lru_cache(maxsize=64)
def mobile_pattern(region: str) -> re.Pattern[str]:
    """Return a pattern of the region's mobile numbers with country code, which are nearly all that accounts call.

    It comes from the library's own data and takes a tenth of the time of trying all kinds of numbers. A number that
    could have the region's own prefix does not match and is left to the library.
    """
    data = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    mobile = data.mobile.national_number_pattern if data is not None and data.mobile is not None else None
    if data is None or mobile is None:
        return _MATCHES_NOTHING
    own_prefix = f"(?!{data.national_prefix_for_parsing})" if data.national_prefix_for_parsing else ""
    return re.compile(f"{data.country_code}{own_prefix}(?:{mobile})")


@lru_cache(maxsize=4096)
def _to_e164(text: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
