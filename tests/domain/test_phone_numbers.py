"""Tests which texts are telephone numbers, and how they become E.164."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.domain.phone_numbers import (
    InvalidNumber,
    keep_digits,
    mobile_pattern,
    parse_bridge,
    parse_number,
    parse_provider_number,
)


@pytest.mark.parametrize(
    ("text", "region", "e164"),
    [
        ("918919525224", "IN", "+918919525224"),
        ("+918919525224", "IN", "+918919525224"),
        ("+918919525224", "US", "+918919525224"),
        ("8919525224", "IN", "+918919525224"),
        ("08919525224", "IN", "+918919525224"),
        ("00918919525224", "IN", "+918919525224"),
        (" +91 (89195) 25-22.4", "IN", "+918919525224"),
        ("8919525224", "in", "+918919525224"),
        # phonenumbers alone reads this one as +91 14155552671, which does not exist
        ("14155552671", "IN", "+14155552671"),
        ("+44 (0)20 7946 0958", "IN", "+442079460958"),
        ("(415) 555-2671", "US", "+14155552671"),
    ],
)
def test_number_becomes_e164(text: str, region: str, e164: str) -> None:
    assert parse_number(text, region) == e164


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "+",
        "abc",
        "91886713XXXX",
        "1-800-FLOWERS",
        "112",
        "12345",
        "+999123456789",
        "++918919525224",
        "91+8919525224",
        "(+91) 8919525224",
        "918919525224;ext=1",
        "918919525224,918919525225",
        "whatsapp:+918919525224",
        "9" * 21,
        "9" * 5000,
        "918919525224\n",
        "918919525224\x00",
        "٩١٨٩١٩٥٢٥٢٢٤",  # Arabic-Indic digits
        "９１８９１９５２５２２４",  # full-width digits
        "91\u00a08919\u00a0525224",  # non-breaking spaces
    ],
)
def test_invalid_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidNumber):
        parse_number(text, "IN")


def test_message_says_what_is_allowed_and_hides_the_number() -> None:
    with pytest.raises(InvalidNumber, match="only digits, one leading \\+, spaces") as caught:
        parse_number("91886713XXXX", "IN")
    assert "91886713" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "e164"),
    [
        (918867130003, "+918867130003"),
        ("918867130003", "+918867130003"),
        ("+91 88671 30003", "+918867130003"),
        (" 918867130003", "+918867130003"),  # an unescaped "+" in a query becomes a space
        ("14155552671", "+14155552671"),
        ("8867130003", "+918867130003"),
        ("08867130003", "+918867130003"),
        ("00918867130003", "+918867130003"),
    ],
)
def test_provider_number_is_read_with_country_code(value: object, e164: str) -> None:
    assert parse_provider_number(value, "IN") == e164


@pytest.mark.parametrize(
    "value",
    [None, True, 1.5, [], {}, "", "91886713XXXX", "112", 112, -918867130003, 10**30, "anonymous"],
)
def test_invalid_provider_number_is_none(value: object) -> None:
    assert parse_provider_number(value, "IN") is None


def test_huge_integer_is_no_number() -> None:
    assert parse_provider_number(10**6000, "IN") is None


def test_lone_surrogate_is_no_number() -> None:
    assert parse_provider_number("\ud800", "IN") is None


@pytest.mark.parametrize(
    ("text", "bridge"),
    [
        ("918068280000", "918068280000"),
        ("+91 80 6828-0000", "918068280000"),
        ("140", "140"),
        ("1" * 15, "1" * 15),
    ],
)
def test_bridge_is_its_digits(text: str, bridge: str) -> None:
    assert parse_bridge(text) == bridge


@pytest.mark.parametrize("text", ["", "12", "1" * 16, "91806828XXXX", "SIP/140", "१४०"])
def test_invalid_bridge_is_refused(text: str) -> None:
    with pytest.raises(InvalidNumber):
        parse_bridge(text)


def test_keep_digits_keeps_ascii_digits_only() -> None:
    assert keep_digits("+91 (80) ٣ 5x") == "91805"


@given(st.text())
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        number = parse_number(text, "IN")
    except InvalidNumber:
        return
    assert number.isascii()
    assert number[0] == "+"
    assert number[1:].isdigit()


@given(st.one_of(st.text(), st.integers(), st.text("0123456789+ -"), st.floats(), st.none()))
def test_provider_number_never_raises_and_is_stable(value: object) -> None:
    number = parse_provider_number(value, "IN")
    if number is not None:
        assert parse_provider_number(number, "IN") == number


@st.composite
def near_mobile_numbers(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a region, and digits that are a mobile number of it or nearly so."""
    region = draw(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
    code = str(phonenumbers.country_code_for_region(region))
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    national = list(phonenumbers.national_significant_number(example) if example else "5550100")
    for _ in range(draw(st.integers(0, 5))):
        national[draw(st.integers(0, len(national) - 1))] = str(draw(st.integers(0, 9)))
    return region, code + "".join(national) + draw(st.sampled_from(["", "", "0", "12"]))


@settings(max_examples=500)
@given(near_mobile_numbers())
def test_mobile_pattern_matches_only_valid_numbers(drawn: tuple[str, str]) -> None:
    """Every number that the pattern matches is valid for the library, too."""
    region, written = drawn
    if mobile_pattern(region).fullmatch(written):
        number = phonenumbers.parse("+" + written, None)
        assert phonenumbers.is_valid_number(number)
        assert phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == "+" + written


def test_mobile_pattern_matches_indian_mobiles() -> None:
    assert mobile_pattern("IN").fullmatch("918919525224")
    assert not mobile_pattern("XX").fullmatch("918919525224")
