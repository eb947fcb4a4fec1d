"""Masks secrets, credentials and telephone numbers before anything is logged, stored or shown.

`SecretMasker` is the one masker of secrets. It works on bytes (requests, answers) and on text (messages, log entries).
`Redactor` masks finished log entries: also credentials that are not configured, and telephone numbers. It works on
the finished entry because only there nothing can be forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any, Final

from tracker.logs.phone_number_mask import ANSI_COLOR, mask_numbers

MASK: Final = "***"
_MASK_BYTES: Final = MASK.encode()
#: characters; masking a shorter secret would tear holes into ids and numbers
_SHORTEST_SECRET: Final = 4
#: characters; in a log a shorter secret is only masked as a word of its own, because it can be a part of our own words
_SHORTEST_INSIDE_WORDS: Final = 8
#: backslashes before an escape; JSON doubles them each time that it is put into JSON
_MOST_BACKSLASHES: Final = 4
#: the letter behind the backslash in JSON and in Python's repr, for characters that have one
_ESCAPE_LETTERS: Final = {
    '"': '"', "'": "'", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"
}  # fmt: skip
#: characters with a spelling that looks like something else in most data, and that spelling
_COMMON_SPELLINGS: Final = {" ": b"+", "\\": b"\\"}


class SecretMasker:
    """A set of secrets, and the replacement of each by `***` wherever it occurs.

    A secret is found as it is, percent-encoded (also with `+` for a blank), and with backslashes: as in JSON, in JSON
    inside JSON, and in Python's repr. One occurrence may mix these spellings character by character. Secrets of fewer
    than 4 characters are not looked for. Make one masker per configuration and keep it: its patterns take milliseconds
    to compile, which happens when the first escape is met.
    """

    def __init__(self, secrets: Iterable[str], *, short_as_words: bool = False) -> None:
        """`short_as_words`: find a secret of fewer than 8 characters only between characters other than a-z and 0-9."""
        # Longer secrets first, because one secret can be a part of another.
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=lambda s: (-len(s), s))
        self._words = {s for s in self._secrets if short_as_words and len(s) < _SHORTEST_INSIDE_WORDS}
        self._plain = [(_encode(s), s in self._words) for s in self._secrets]
        self._common = [mark for c, mark in _COMMON_SPELLINGS.items() if any(c in s for s in self._secrets)]

    def mask_bytes(self, data: bytes) -> bytes:
        """Return the data (UTF-8 where it is text) with every occurrence of a secret replaced by `***`."""
        # Nearly no request holds a secret. These searches for constants cost a fifth of the patterns.
        if self._may_be_escaped(data):
            for pattern in self._patterns:
                data = pattern.sub(_MASK_BYTES, data)
            return data
        for number, (secret, is_word) in enumerate(self._plain):
            if secret in data:
                if is_word:
                    data = self._patterns[number].sub(_MASK_BYTES, data)
                else:
                    data = data.replace(secret, _MASK_BYTES)
        return data

    def mask_text(self, text: str) -> str:
        """Return the text with every occurrence of a secret replaced by `***`."""
        data = _encode(text)
        masked = self.mask_bytes(data)
        return text if masked is data else masked.decode("utf-8", "surrogatepass")

    def _may_be_escaped(self, data: bytes) -> bool:
        """Return whether the data has an escape of any character of a secret."""
        if b"%" in data and self._percent_escape.search(data):
            return True
        if b"\\" in data and self._backslash_escape.search(data):
            return True
        for mark in self._common:  # noqa: SIM110 - any() with a generator costs as much as the searches
            if mark in data:
                return True
        return False

    @cached_property
    def _patterns(self) -> list[re.Pattern[bytes]]:
        """One pattern per secret, which matches all of its spellings."""
        return [re.compile(self._pattern_of(secret)) for secret in self._secrets]

    def _pattern_of(self, secret: str) -> bytes:
        pattern = _pattern_of(secret)
        return rb"(?<![A-Za-z0-9])%s(?![A-Za-z0-9])" % pattern if secret in self._words else pattern

    @cached_property
    def _percent_escape(self) -> re.Pattern[bytes]:
        first_bytes = {f"{_encode(c)[0]:02x}" for secret in self._secrets for c in secret}
        return re.compile(b"%%(?:%s)" % b"|".join(map(_in_any_case, sorted(first_bytes))))

    @cached_property
    def _backslash_escape(self) -> re.Pattern[bytes]:
        by_letter: dict[str, set[str]] = {}
        for escape, *_ in (e for secret in self._secrets for c in secret for e in _backslash_escapes(c)):
            by_letter.setdefault(escape[0], set()).add(escape[1:])
        kinds = [
            re.escape(letter.encode()) + b"(?:%s)" % b"|".join(map(_in_any_case, sorted(codes)))
            for letter, codes in sorted(by_letter.items())
        ]
        return re.compile(rb"\\(?:%s)" % b"|".join(kinds))


@lru_cache(maxsize=32)
def masker_of(secrets: tuple[str, ...]) -> SecretMasker:
    """Return the masker of these configured secrets, the same one each time.

    Do not use it for the secret variables of a call: the cache would keep them.
    """
    return SecretMasker(secrets)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _pattern_of(secret: str) -> bytes:
    """Return a pattern for all spellings of the secret."""
    pattern = b""
    for character, run in groupby(secret):
        repeated = len([*run])
        if character == "\\":
            # One quantifier for the run, and no escape letter: each run is matched in one way only. Otherwise the
            # pattern would try every partition of a run that does not match.
            pattern += _spellings(character) + b"{%d,%d}" % (repeated, repeated * _MOST_BACKSLASHES)
        else:
            pattern += _spellings(character) * repeated
    return pattern


def _spellings(character: str) -> bytes:
    """Return a pattern for one character in all its spellings.

    Every alternative begins with a constant byte, because then the search jumps from one of these bytes to the next.
    """
    encoded = _encode(character)
    percent = b"".join(b"%" + _in_any_case(f"{byte:02x}") for byte in encoded)
    escapes = (rb"\\{1,%d}" % _MOST_BACKSLASHES).join
    backslash = b"|".join(
        escapes(re.escape(unit[0].encode()) + _in_any_case(unit[1:]) for unit in escape)
        for escape in _backslash_escapes(character)
    )
    found = [percent, rb"\\\\{0,%d}(?:%s)" % (_MOST_BACKSLASHES - 1, backslash), re.escape(encoded)]
    if character == " ":
        found.append(rb"\+")
    return b"(?:" + b"|".join(found) + b")"


def _backslash_escapes(character: str) -> list[list[str]]:
    r"""Return the escapes of a character, each as the parts that follow its backslashes.

    In JSON ä is `\u00e4`; in the repr of text it is `\xe4`, and in that of bytes `\xc3\xa4`.
    """
    units = character.encode("utf-16-be", "surrogatepass")
    escapes = [[f"u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2)]]
    escapes.append([f"x{byte:02x}" for byte in _encode(character)])
    if not character.isascii():
        escapes.append([f"x{ord(character):02x}" if ord(character) < 0x100 else f"U{ord(character):08x}"])
    if letter := _ESCAPE_LETTERS.get(character):
        escapes.append([letter])
    return escapes


def _in_any_case(digits: str) -> bytes:
    # A class per letter instead of (?i:…), because with that flag the search has no constant byte to jump to.
    return "".join(f"[{d}{d.upper()}]" if d in "abcdef" else d for d in digits).encode()


_NAMES = (
    r"(?:proxy[-_])?authorization|access[-_]?token|api[-_]?token|webhook[-_]?token|webhook[-_]?secret|validation[-_]?key"
    r"|token|secret|password|passwd|api[-_]?key"
)
_VALUE = r"(?!None\b|null\b|true\b|false\b|\*{3})[^\s\"'\\&,;<>(){}\[\]\x1b]+"
_CREDENTIALS = re.compile(
    # Authorization: Bearer xyz, b'authorization', b'Basic xyz', "authorization": "Bearer xyz"
    rf"(?i:(?P<header>authorization\b[\"'\\]*(?:{ANSI_COLOR})*\s*[:=,]\s*(?:{ANSI_COLOR})*b?[\"'\\]*(?:bearer|basic|digest)\s+){_VALUE})"
    # Bearer xyz on its own; "bearer missing" is prose
    rf"|(?P<bearer>\b(?i:bearer)(?:\s|%20|\+)+)(?![a-z]{{1,12}}(?:[^\w.~+/=-]|$)){_VALUE}"
    # access_token=xyz in a query, a form, a DSN, key=value output
    rf"|(?i:(?P<pair>(?<![a-z0-9])(?:{_NAMES})(?:{ANSI_COLOR})*(?:=|%3d)(?:{ANSI_COLOR})*[\"'\\]*){_VALUE})"
    # "access_token": "xyz" in JSON and in the text of a dict, also inside another string
    rf"|(?i:(?P<member>[\"'\\](?:{_NAMES})[\"'\\]+\s*:\s*b?\\*([\"'])).*?(?=\\*\5))"
)
#: one of these is in everything that `_CREDENTIALS` finds
_CREDENTIAL_WORDS = ("authorization", "bearer", "token", "secret", "passw", "key")
_URL_PASSWORD = re.compile(
    r"(?P<before>(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/?#:@\"']*:)[^\s/?#\"']+(?=@)"
)


def mask_url_password(url: str) -> str:
    """Return the URL with its password masked, also one in the query. Mask a text that is no URL as a whole."""
    if "://" not in url:
        return MASK
    # Up to the last @, because the password of a URL that is wrong may have an unescaped one, or a slash.
    url = re.sub(r"(://[^/?#:@]*:).+(?=@)", rf"\g<1>{MASK}", url)
    return re.sub(r"(?i)(password=)[^&\s]+", rf"\g<1>{MASK}", url)


class Redactor:
    """The masking of log entries: configured secrets, other credentials, URL passwords, telephone numbers."""

    def __init__(self, secrets: Iterable[str] = (), *, regions: Iterable[str] = ("IN",)) -> None:
        """`regions`: the countries whose mobile numbers are also recognised without a country code."""
        self._masker = SecretMasker(secrets, short_as_words=True)
        self._regions = tuple(regions)

    def __call__(self, text: str) -> str:
        """Return the text with secrets masked and numbers cut to country code and last two digits."""
        text = self._masker.mask_text(text)
        # A search for constants first: nearly no line has anything to mask, and it costs a tenth of the pattern.
        lower = text.lower()
        if any(word in lower for word in _CREDENTIAL_WORDS):
            text = _CREDENTIALS.sub(_mask_credential, text)
        if "://" in text:
            text = _URL_PASSWORD.sub(rf"\g<before>{MASK}", text)
        return mask_numbers(text, self._regions)

    def redact_json(self, line: str) -> str:
        """Return a JSON document with the same masked. It stays JSON: a bare 918919525224 becomes a string."""
        if self(line) == line:
            return line
        return json.dumps(self._redact_value(json.loads(line)), ensure_ascii=False)

    def _redact_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self(name): self._redact_member(name, member) for name, member in value.items()}
        if isinstance(value, list):
            return [self._redact_value(item) for item in value]
        if isinstance(value, str):
            return self(value)
        redacted = self(json.dumps(value))
        return value if redacted == json.dumps(value) else redacted

    def _redact_member(self, name: str, value: Any) -> Any:
        # Without its name, a value would not be recognised as a credential.
        if isinstance(value, str) and value and re.fullmatch(_NAMES, name, re.IGNORECASE):
            return MASK
        return self._redact_value(value)


def _mask_credential(match: re.Match[str]) -> str:
    return (match["header"] or match["bearer"] or match["pair"] or match["member"]) + MASK
