"""Takes telephone numbers and secrets out of text that people or log stores will see.

Works on finished text (a log entry, a traceback, a line for the terminal), because that is the only place where nothing
can be forgotten. What must stay readable stays: ids, UUIDs, times, epoch milliseconds, ports, durations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "********"

# Terminal colours can stand between a key and its value.
_ANSI = r"\x1b\[[0-9;]*m"
_NAMES = (
    r"(?:proxy[-_])?authorization|access[-_]?token|api[-_]?token|webhook[-_]?token|webhook[-_]?secret|validation[-_]?key"
    r"|token|secret|password|passwd|api[-_]?key"
)
_VALUE = r"(?!None\b|null\b|true\b|false\b|\*{8})[^\s\"'\\&,;<>(){}\[\]\x1b]+"
_CREDENTIALS = re.compile(
    # Authorization: Bearer xyz, b'authorization', b'Basic xyz', "authorization": "Bearer xyz"
    rf"(?i:(?P<header>authorization\b[\"'\\]*(?:{_ANSI})*\s*[:=,]\s*(?:{_ANSI})*b?[\"'\\]*(?:bearer|basic|digest)\s+){_VALUE})"
    # Bearer xyz on its own; "bearer missing" is prose
    rf"|(?P<bearer>\b(?i:bearer)(?:\s|%20|\+)+)(?![a-z]{{1,12}}(?:[^\w.~+/=-]|$)){_VALUE}"
    # access_token=xyz in a query, a form, a DSN, key=value output
    rf"|(?i:(?P<pair>(?<![a-z0-9])(?:{_NAMES})(?:{_ANSI})*(?:=|%3d)(?:{_ANSI})*[\"'\\]*){_VALUE})"
    # "access_token": "xyz" in JSON and in the text of a dict, also inside another string
    rf"|(?i:(?P<member>[\"'\\](?:{_NAMES})[\"'\\]+\s*:\s*b?\\*([\"'])).*?(?=\\*\5))"
)
#: One of these is in everything that _CREDENTIALS finds.
_CREDENTIAL_WORDS = ("authorization", "bearer", "token", "secret", "passw", "key")
_URL_PASSWORD = re.compile(
    r"(?P<before>(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/?#:@\"']*:)[^\s/?#\"']+(?=@)"
)


def mask_url_password(url: str) -> str:
    """The URL with its password replaced, also one in the query; anything that is no URL is masked as a whole."""
    if "://" not in url:
        return MASK
    # Up to the last @: in a URL that is wrong, the password may have one unescaped, or a slash.
    url = re.sub(r"(://[^/?#:@]*:).+(?=@)", rf"\g<1>{MASK}", url)
    return re.sub(r"(?i)(password=)[^&\s]+", rf"\g<1>{MASK}", url)


def _mask_credential(match: re.Match[str]) -> str:
    return (match["header"] or match["bearer"] or match["pair"] or match["member"]) + MASK


# Read from left to right, each token as a whole, so that a number is looked for only where one can begin. What is no
# number is matched first and kept: colours, escapes, UUIDs, ids, times, fractions, words with digits in them.
_TOKEN = re.compile(
    rf"""
      {_ANSI}
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
_MAYBE_NUMBER = re.compile(r"(?:\+|%2[bB])\(?[1-9]|[0-9]{10}")
#: 2026112312, 202611231205, 20261123120500: a time, though Egyptian numbers are as long and begin like it.
_COMPACT_TIME = re.compile(
    r"20[1-4][0-9](?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){0,2}"
)


def mask_number(number: str) -> str:
    """Country code and last two digits of a number in international form: +918919525224 is +91********24."""
    digits = re.sub(r"[^0-9]", "", number)
    code = _country_code(digits)
    return ("+" if number.startswith("+") else "") + code + "*" * (len(digits) - len(code) - 2) + digits[-2:]


def _country_code(digits: str) -> str:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # only where a number was found: 21 ms

    return next((digits[:n] for n in (1, 2, 3) if int(digits[:n] or 0) in COUNTRY_CODE_TO_REGION_CODE), "")


def _mask_token(match: re.Match[str], regions: tuple[str, ...]) -> str:
    token = match[0]
    if match["plus"]:
        mark = token[: 3 if token[0] == "%" else 1]
        number, rest = _without_following_groups(token[len(mark) :])
        return mark + mask_number(number) + rest
    if match["bare"] and not _COMPACT_TIME.fullmatch(token):
        if token.startswith("00") and _possible(token[2:]):
            return "00" + mask_number(token[2:])
        if _possible(token):
            return mask_number(token)
        if any(_is_mobile(token, region) for region in regions):
            return "*" * (len(token) - 2) + token[-2:]
    return token


def _without_following_groups(text: str) -> tuple[str, str]:
    """Splits "91 8919525224 200" into the number and what only follows it."""
    ends = [m.start() for m in re.finditer(r"[ ().-]+(?=[0-9])", text)][::-1]
    for end in [len(text), *ends]:
        if _valid(re.sub(r"[^0-9]", "", text[:end])):
            return text[:end], text[end:]
    return text, ""


def _valid(digits: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse("+" + digits, None))
    except phonenumbers.NumberParseException:
        return False


def _possible(digits: str) -> bool:
    """Whether bare digits are read as an international number.

    Ten digits are as likely a count or a time, so these must be a number that is really given out; more digits need
    only have the length of one. Epoch seconds and milliseconds begin with 1 and have no North American length.
    """
    import phonenumbers

    if digits.startswith("0"):
        return False
    if len(digits) <= 10:
        return _valid(digits)
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


def _spellings(secret: str) -> set[str]:
    """The secret as it is, and as it stands in a URL, in JSON, in JSON inside JSON, in the repr of a text."""
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    nested = {json.dumps(e)[1:-1] for e in escaped}
    quoted = {quote(secret, safe="", errors="replace"), quote(secret, errors="replace")}
    return {secret, repr(secret)[1:-1], quote_plus(secret, errors="replace"), *quoted, *escaped, *nested}


class Redactor:
    """Redacts text with a fixed set of secrets; make one and keep it.

    `regions`: the countries whose mobile numbers are also recognised without a country code.
    """

    def __init__(self, secrets: Iterable[str] = (), *, regions: Iterable[str] = ("IN",)) -> None:
        # Shorter ones would take letters out of every word; only the patterns for credentials catch them.
        known = {s for secret in secrets if len(secret) >= 4 for s in _spellings(secret)}
        # A short secret counts only as a word of its own; the longest first, for one can be a part of another.
        words = [
            re.escape(s) if len(s) >= 8 else rf"(?<![A-Za-z0-9]){re.escape(s)}(?![A-Za-z0-9])"
            for s in sorted(known, key=lambda s: (-len(s), s))
        ]
        self._known = tuple(known)
        self._secrets = re.compile("|".join(words))
        self._regions = tuple(regions)

    def __call__(self, text: str) -> str:
        """The text with secrets replaced by asterisks and numbers cut to country code and last two digits."""
        # Plain searches first: nearly every line has nothing to hide, and they cost a tenth of the patterns.
        if any(spelled in text for spelled in self._known):
            text = self._secrets.sub(MASK, text)
        lower = text.lower()
        if any(word in lower for word in _CREDENTIAL_WORDS):
            text = _CREDENTIALS.sub(_mask_credential, text)
        if "://" in text:
            text = _URL_PASSWORD.sub(rf"\g<before>{MASK}", text)
        if _MAYBE_NUMBER.search(text):
            text = _TOKEN.sub(lambda m: _mask_token(m, self._regions), text)
        return text

    def json(self, line: str) -> str:
        """The same for a JSON document, which stays one: a bare 918919525224 becomes a string."""
        if self(line) == line:
            return line
        return json.dumps(self._value(json.loads(line)), ensure_ascii=False)

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self(k): self._member(k, v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._value(v) for v in value]
        if isinstance(value, str):
            return self(value)
        redacted = self(json.dumps(value))
        return value if redacted == json.dumps(value) else redacted

    def _member(self, key: str, value: Any) -> Any:
        # Read as a pair, a value that only its name gives away is found too.
        if isinstance(value, str) and value and re.fullmatch(_NAMES, key, re.IGNORECASE):
            return MASK
        return self._value(value)


@lru_cache(maxsize=16)
def _redactor(secrets: tuple[str, ...], regions: tuple[str, ...]) -> Redactor:
    return Redactor(secrets, regions=regions)


def redact_text(text: str, secrets: Iterable[str] = (), *, regions: Iterable[str] = ("IN",)) -> str:
    """The text without the secrets, credentials and URL passwords, and with numbers as +91********24."""
    return _redactor(tuple(secrets), tuple(regions))(text)
