"""Tests that telephone numbers are masked, and that ids, times and counts stay readable."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta, timezone

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.logs.phone_number_mask import mask_number, mask_numbers


def mask(text: str) -> str:
    """Mask the numbers in the text, also Indian mobile numbers without a country code."""
    return mask_numbers(text, ("IN",))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+918919525224", "+91********24"),
        ("918919525224", "91********24"),
        ("00918919525224", "0091********24"),
        ("8919525224", "********24"),
        ("08919525224", "*********24"),
        ("+91 89195 25224", "+91********24"),
        ("+91-89195-25224 rang", "+91********24 rang"),
        ("+91 8919525224 200 OK", "+91********24 200 OK"),
        ("(+91) 8919525224", "(+91********24"),
        ("+1 (212) 555-2368", "+1********68"),
        ("+442079460958", "+44********58"),
        ("to=%2B918919525224&x=1", "to=%2B91********24&x=1"),
        ("to%3D918919525224%26x", "to%3D91********24%26x"),
        ("a%20918919525224", "a%2091********24"),
        (r"'a\n918919525224\t918919525225'", r"'a\n91********24\t91********25'"),
        ("918919525224,919812345678", "91********24,91********78"),
        ("{'to': 918919525224}", "{'to': 91********24}"),
        ("rec_918919525224_2021.mp3", "rec_91********24_2021.mp3"),
        ("/recordings/918919525224.wav", "/recordings/91********24.wav"),
        ("dialled 918919525224.", "dialled 91********24."),
        ("\x1b[35m918919525224\x1b[0m", "\x1b[35m91********24\x1b[0m"),
        ("tel:+918919525224;ext=1", "tel:+91********24;ext=1"),
    ],
)
def test_number_keeps_country_code_and_two_digits(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00.123456Z",
        "2026-11-23T12:00:00.123456+00:00",
        "2026-11-23 12:00:00+0530",
        "2026-11-23 12:00:00+1000 12",
        "20261123120500",
        "202611231205",
        "70fa87e0-9df9-4327-bc80-561480387012:1",
        "127.0.0.1:54321",
        "duration_s=0.4915123456789",
        "1764000000.123456",
        "sub_01918919525224918919525224",
        "call_919876543210987654321098",
        "a918919525224",
        "918919525224abcdef",
        "0x7f1234567890",
        "thread 140234567890123",
        "6.5+7.5",
        "1,234,567,890",
        "2.1.9+cpu",
    ],
)
def test_text_without_a_number_stays(text: str) -> None:
    assert mask(text) == text


def example_numbers() -> st.SearchStrategy[str]:
    """Draw numbers of every country: the library's own examples with other last digits."""
    examples = [
        phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    ]
    plain = [phonenumbers.format_number(n, phonenumbers.PhoneNumberFormat.E164) for n in examples if n]
    return st.tuples(st.sampled_from(plain), st.integers(0, 999)).map(lambda t: f"{t[0][:-3]}{t[1]:03}")


@given(
    example_numbers(),
    st.sampled_from(["{}", "to {}.", '"{}"', "x={}&y", "({})", "\n{}\n", "[{}]", "call of {}, {}"]),
)
def test_number_of_each_country_is_masked(number: str, around: str) -> None:
    masked = mask(around.format(number, number))

    assert number[1:] not in masked
    assert mask_number(number) in masked


@given(st.text(), st.text())
def test_number_is_masked_beside_anything_but_word_characters(before: str, after: str) -> None:
    before, after = re.sub(r"[\w.%\\+]+$", "", before), re.sub(r"^\w+", "", after)

    assert "8919525224" not in mask(f"{before}918919525224{after}")


# From 2033 on, epoch milliseconds are as long as Nigerian numbers and begin like them.
@given(
    st.integers(1_000_000_000, 1_999_999_999),
    st.integers(0, 999_999),
    st.sampled_from([0, 60, 330, -300, 600, 840]),
)
def test_time_stays(seconds: int, microsecond: int, offset: int) -> None:
    at = datetime.fromtimestamp(seconds, timezone(timedelta(minutes=offset))).replace(microsecond=microsecond)
    epoch = at.timestamp()

    for text in (
        at.isoformat(),
        str(at),
        f"{at:%Y-%m-%d %H:%M:%S}",
        f"{at:%Y%m%d%H%M%S}",
        at.strftime("%Y%m%dT%H%M%SZ"),
        at.strftime("%d/%b/%Y:%H:%M:%S %z"),
        f'{{"at": "{at.astimezone(UTC).isoformat()}", "n": {int(epoch * 1000)}}}',
        str(int(epoch * 1000)),
        str(epoch),
    ):
        assert mask(text) == text


@given(st.integers(1_000_000_000, 1_999_999_999))
def test_epoch_seconds_stay(seconds: int) -> None:
    assert mask(f"at={seconds}") == f"at={seconds}"


@given(st.uuids(), st.sampled_from(["sub", "call", "ev", "cb"]))
def test_id_stays(value: uuid.UUID, kind: str) -> None:
    crockford = "".join("0123456789abcdefghjkmnpqrstvwxyz"[value.int >> 5 * n & 31] for n in range(26))
    for text in (
        str(value),
        str(value).upper(),
        f"{value}:1",
        f"{kind}_{value.hex}",
        f"{kind}_{crockford}",
        f"/c/{value}/x",
    ):
        assert mask(text) == text


def test_uuid_of_digits_stays() -> None:
    text = str(uuid.UUID(int=0x91891952_5224_4918_9195_918919525224))

    assert mask(f"id={text}") == f"id={text}"


@given(st.floats(0, 1e6), st.integers(0, 999_999_999))
def test_durations_ports_and_counts_stay(seconds: float, count: int) -> None:
    text = f"took={seconds!r} n={count} :{count % 65536}"

    assert mask(text) == text
