"""Tests the parsing of single values, and which of them count as missing."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tracker.providers.thundersms import scalars

INDIA = ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("23", 23),
        (23, 23),
        (" 23 ", 23),
        ("23.9", 23),
        (23.0, 23),
        ("0", 0),
        ("00:00:19", 19),
        ("01:02:03", 3723),
        ("1:30", 90),
        ("604800", 604800),
    ],
)
def test_duration_is_in_seconds(value: Any, seconds: int) -> None:
    assert scalars.parse_duration_s(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "-1",
        -5,
        "abc",
        "1m",
        "{{duration}}",
        True,
        "604801",
        10**30,
        float("inf"),
        "٣",
        "1e3",
        [],
        {},
    ],
)
def test_negative_or_unreadable_duration_is_missing(value: Any) -> None:
    assert scalars.parse_duration_s(value) is None


@pytest.mark.parametrize(
    ("value", "utc"),
    [
        ("2021-04-09 16:27:39", "2021-04-09T10:57:39+00:00"),
        ("2021-04-09T16:27:39", "2021-04-09T10:57:39+00:00"),
        ("2021-04-09 16:27", "2021-04-09T10:57:00+00:00"),
        ("2021-04-09T16:27:39Z", "2021-04-09T16:27:39+00:00"),
        ("2021-04-09T16:27:39.123456Z", "2021-04-09T16:27:39.123456+00:00"),
        ("2021-04-09T16:27:39+02:00", "2021-04-09T14:27:39+00:00"),
        (1617964059, "2021-04-09T10:27:39+00:00"),
        ("1617964059", "2021-04-09T10:27:39+00:00"),
        ("1617964059000", "2021-04-09T10:27:39+00:00"),
        ("2000-01-01 00:00:00", "1999-12-31T18:30:00+00:00"),
    ],
)
def test_timestamp_is_utc_beside_its_text(value: Any, utc: str) -> None:
    raw, at = scalars.parse_timestamp(value, INDIA)
    assert raw == str(value)
    assert at is not None
    assert at.isoformat() == utc


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "{{start_at}}",
        "0000-00-00 00:00:00",
        "0000-00-00",
        "0",
        0,
        "1970-01-01 05:30:00",
        "2021-02-30 10:00:00",
        "2021-13-01 10:00:00",
        "2021-04-09 25:00:00",
        "9999-12-31 23:59:59",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999999999999",
        [],
    ],
)
def test_zero_or_impossible_timestamp_is_missing(value: Any) -> None:
    assert scalars.parse_timestamp(value, INDIA) == (None, None)


@pytest.mark.parametrize("value", ["09/04/2021 16:27:39", "yesterday", "2021-04-09", "-5"])
def test_timestamp_in_unknown_form_keeps_its_text(value: str) -> None:
    assert scalars.parse_timestamp(value, INDIA) == (value, None)


@pytest.mark.parametrize(
    ("value", "amount"), [("0.5000", "0.5000"), (1, "1"), (0.5, "0.5"), (1e-05, "0.00001"), ("-1.5", "-1.5")]
)
def test_amount_is_kept_as_written(value: Any, amount: str) -> None:
    assert scalars.parse_amount(value) == amount


@pytest.mark.parametrize(
    "value", [None, "", "free", "1e5", "1_000", "NaN", True, float("nan"), "٣", "9" * 41, []]
)
def test_text_that_is_no_amount_is_missing(value: Any) -> None:
    assert scalars.parse_amount(value) is None


@pytest.mark.parametrize(
    "value", ["", "  ", "{{id}}", "@{{id}}", "{id}", "{{ flow.name }}", None, [], {}, float("nan")]
)
def test_unfilled_template_is_missing(value: Any) -> None:
    assert scalars.parse_text(value) is None


@pytest.mark.parametrize("value", ["{{id}}-1", "a}", "{", "}", "{{a}} {{b}}"])
def test_text_around_a_template_is_kept(value: str) -> None:
    assert scalars.parse_text(value) == value


def test_long_texts_are_cut_or_missing() -> None:
    assert scalars.parse_word("x" * 200) == "x" * 100
    assert scalars.parse_id("x" * 201) is None
    assert scalars.parse_url("https://x/" + "y" * 1990) == "https://x/" + "y" * 1990
    assert scalars.parse_url("https://x/" + "y" * 1991) is None
