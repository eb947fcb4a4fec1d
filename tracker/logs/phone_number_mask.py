"""Masks telephone numbers in text: `+918919525224` becomes `+91********24`.

Ids, UUIDs, times, epoch milliseconds, ports and durations stay readable, although some of them look like numbers.
"""

from __future__ import annotations

import re
from typing import Final

#: terminal colours, which can stand between any two words of a log line
ANSI_COLOR: Final = r"\x1b\[[0-9;]*m"

# Scans from left to right and consumes each token as a whole, so that a number is only found where one can begin.
# The first alternatives are tokens that hold digits and are no numbers: colours, escapes, UUIDs, ids. Fractions and
# words with digits in them follow.
_TOKEN: Final = re.compile(
    rf"""
      {ANSI_COLOR}
    | \\(?:[abfnrtv0]|x[0-9a-fA-F]{{2}}|u[0-9a-fA-F]{{4}})
    | %(?!2[bB])[0-9A-F]{{2}}
    | [0-9a-fA-F]{{8}}-(?:[0-9a-fA-F]{{4}}-){{3}}[0-9a-fA-F]{{12}}
    | [A-Za-z]+_[0-9A-Za-z]{{16,}}(?![0-9A-Za-z])
    | (?P<plus>(?:\+|%2[bB])(?:[1-9][0-9]{{6,14}}(?![0-9])|\(?[1-9](?:[ ().-]{{0,2}}[0-9]){{6,14}}(?![0-9])))
    | [0-9]{{1,10}}\.[0-9]+(?![.0-9A-Za-z])
    | (?P<bare>[0-9]{{10,15}}(?![0-9A-Za-z]))
    | [0-9A-Za-z]+
    """,
    re.VERBOSE,
)
#: every text with a number has this; the search costs a tenth of the scan
_MAYBE_NUMBER: Final = re.compile(r"(?:\+|%2[bB])\(?[1-9]|[0-9]{10}")
#: times such as 2026112312, 202611231205 and 20261123120500; Egyptian numbers begin like them and are as long
_COMPACT_TIME: Final = re.compile(
    r"20[1-4][0-9](?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){0,2}"
)


def mask_numbers(text: str, regions: tuple[str, ...]) -> str:
    """Return the text with each telephone number cut to its country code and its last two digits.

    `regions`: the countries whose mobile numbers are also recognised without a country code, such as `IN`.
    """
    if not _MAYBE_NUMBER.search(text):
        return text
    return _TOKEN.sub(lambda match: _mask_token(match, regions), text)


def mask_number(number: str) -> str:
    """Return a number in international form as country code and last two digits: `+91********24`."""
    digits = re.sub(r"[^0-9]", "", number)
    code = _country_code(digits)
    return ("+" if number.startswith("+") else "") + code + "*" * (len(digits) - len(code) - 2) + digits[-2:]


def _country_code(digits: str) -> str:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # imported late because it takes 21 ms

    return next((digits[:n] for n in (1, 2, 3) if int(digits[:n] or 0) in COUNTRY_CODE_TO_REGION_CODE), "")


def _mask_token(match: re.Match[str], regions: tuple[str, ...]) -> str:
    token = match[0]
    if match["plus"]:
        plus_length = 3 if token[0] == "%" else 1
        number, following = _split_following_groups(token[plus_length:])
        return token[:plus_length] + mask_number(number) + following
    if match["bare"] and not _COMPACT_TIME.fullmatch(token):
        if token.startswith("00") and _is_possible(token[2:]):
            return "00" + mask_number(token[2:])
        if _is_possible(token):
            return mask_number(token)
        if any(_is_mobile(token, region) for region in regions):
            return "*" * (len(token) - 2) + token[-2:]
    return token


def _split_following_groups(text: str) -> tuple[str, str]:
    """Split "91 8919525224 200" into the number and the digits that only follow it."""
    ends = [match.start() for match in re.finditer(r"[ ().-]+(?=[0-9])", text)][::-1]
    for end in [len(text), *ends]:
        if _is_valid(re.sub(r"[^0-9]", "", text[:end])):
            return text[:end], text[end:]
    return text, ""


def _is_valid(digits: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse("+" + digits, None))
    except phonenumbers.NumberParseException:
        return False


def _is_possible(digits: str) -> bool:
    """Return whether bare digits are read as an international number.

    Ten digits are as likely a count or a time, so they must be a number that is assigned. More digits only need
    the length of a number. Epoch seconds and milliseconds begin with 1 and have no North American length.
    """
    import phonenumbers

    if digits.startswith("0"):
        return False
    if len(digits) <= 10:
        return _is_valid(digits)
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse("+" + digits, None))
    except phonenumbers.NumberParseException:
        return False


def _is_mobile(digits: str, region: str) -> bool:
    import phonenumbers

    if digits.startswith("1"):  # epoch seconds
        return False
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE)
    try:
        return phonenumbers.number_type(phonenumbers.parse(digits, region)) in kinds
    except phonenumbers.NumberParseException:
        return False
