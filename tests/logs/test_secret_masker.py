"""Tests that `SecretMasker` finds a secret in every spelling, and changes nothing else."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.logs.redaction import SecretMasker

SECRET = 'p/ss "wörd" +1'
#: without the mask itself, and without the brackets that the tests put around a secret
SECRETS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*<>"), min_size=4, max_size=12)


def mask(data: bytes, *secrets: str) -> bytes:
    """Mask the data with a new masker."""
    return SecretMasker(secrets).mask_bytes(data)


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower(),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        json.dumps(json.dumps(SECRET)[1:-1])[1:-1],
        repr(SECRET)[1:-1],
        ascii(SECRET)[1:-1],
        repr(SECRET.encode())[2:-1],
    ],
)
def test_masker_finds_a_secret_in_each_spelling(spelled: str) -> None:
    masker = SecretMasker([SECRET])

    assert masker.mask_bytes(f"<{spelled}><{spelled}>".encode()) == b"<***><***>"
    assert masker.mask_text(f"<{spelled}><{spelled}>") == "<***><***>"


def spell(character: str, spelling: int) -> str:
    """Spell one character in one of seven ways."""
    utf_16 = character.encode("utf-16-be")
    return [
        lambda: character,
        lambda: "".join(f"%{byte:02X}" for byte in character.encode()),
        lambda: "".join(f"%{byte:02x}" for byte in character.encode()),
        lambda: json.dumps(character)[1:-1],
        lambda: json.dumps(json.dumps(character)[1:-1])[1:-1],
        lambda: "".join(f"\\u{int.from_bytes(utf_16[n : n + 2]):04X}" for n in range(0, len(utf_16), 2)),
        lambda: "\\" + character if character in '"\\/' else quote_plus(character),
    ][spelling]()


@st.composite
def spelled_secrets(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a secret, and the same with each character spelled in a way of its own."""
    secret = draw(SECRETS)
    return secret, "".join(spell(character, draw(st.integers(0, 6))) for character in secret)


@given(spelled_secrets())
def test_masker_replaces_exactly_a_secret_in_mixed_spelling(drawn: tuple[str, str]) -> None:
    secret, spelled = drawn

    assert mask(f"<{spelled}>".encode(), secret) == b"<***>"
    assert SecretMasker([secret]).mask_text(f"<{spelled}>") == "<***>"


@given(spelled_secrets(), st.binary(max_size=50), st.binary(max_size=50))
def test_masker_leaves_no_spelling_in_any_data(drawn: tuple[str, str], before: bytes, after: bytes) -> None:
    secret, spelled = drawn

    assert spelled.encode() not in mask(before + spelled.encode() + after, secret)


@given(spelled_secrets(), st.text(max_size=50), st.text(max_size=50))
def test_masker_leaves_no_spelling_in_any_text(drawn: tuple[str, str], before: str, after: str) -> None:
    secret, spelled = drawn

    assert spelled not in SecretMasker([secret]).mask_text(before + spelled + after)


@given(st.binary(max_size=200))
def test_masker_keeps_data_without_a_secret(data: bytes) -> None:
    assert mask(data, "the-secret-of-the-webhook") == data


@given(st.lists(st.tuples(st.sampled_from('3y+/ ="\\ä'), st.integers(0, 6)), max_size=30))
def test_masker_keeps_escapes_that_spell_no_secret(characters: list[tuple[str, int]]) -> None:
    data = "".join(spell(*each) for each in characters)
    masker = SecretMasker(['k3y+/ ="\\ä'])  # its first character is never drawn

    assert masker.mask_bytes(data.encode()) == data.encode()
    assert masker.mask_text(data) is data


@given(st.text(st.characters(), max_size=50))
def test_masker_keeps_text_with_lone_surrogates(text: str) -> None:
    assert SecretMasker(["the-secret"]).mask_text(f"the-secret{text}") == f"***{text}"


@pytest.mark.parametrize("slash", ["/", r"\/", "%2F"])
def test_masker_replaces_the_longer_of_two_secrets(slash: str) -> None:
    data = f"{slash}secret and {slash}secret{slash}of-tomorrow".encode()

    assert mask(data, "/secret", "/secret/of-tomorrow") == b"*** and ***"


def test_masker_ignores_a_secret_of_three_characters() -> None:
    assert mask(b"918919525224", "919", "") == b"918919525224"


def test_masker_finds_a_short_secret_inside_a_word() -> None:
    assert mask(b"an a1233XXXb", "1233XXX") == b"an a***b"


def test_masker_finds_a_short_secret_only_as_a_word_when_asked() -> None:
    masker = SecretMasker(["12/3XXX", "a-long-secret"], short_as_words=True)

    assert masker.mask_text("12/3XXX a12/3XXXb (12/3XXX)") == "*** a12/3XXXb (***)"
    assert masker.mask_text(r"12\/3XXX a12\/3XXXb") == r"*** a12\/3XXXb"
    assert masker.mask_text("a-long-secrets") == "***s"


@pytest.mark.parametrize("byte", [b"\\", b"%", b"+", b"a"])
def test_masker_reads_a_long_run_of_one_byte_in_linear_time(byte: bytes) -> None:
    data = byte * 300_000 + rb"\/%2f+"

    assert mask(data, "\\\\\\\\/% +a", "/////") == data
