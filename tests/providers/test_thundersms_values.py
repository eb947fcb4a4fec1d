"""Single values: what they are, and when they are missing."""

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
def test_a_duration_is_seconds(value: Any, seconds: int) -> None:
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
def test_a_duration_that_is_negative_or_unreadable_is_missing(value: Any) -> None:
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
def test_a_time_is_utc_and_its_text_is_kept(value: Any, utc: str) -> None:
    as_sent, at = scalars.parse_timestamp(value, INDIA)
    assert as_sent == str(value)
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
def test_a_zero_or_impossible_time_is_missing(value: Any) -> None:
    assert scalars.parse_timestamp(value, INDIA) == (None, None)


@pytest.mark.parametrize("value", ["09/04/2021 16:27:39", "yesterday", "2021-04-09", "-5"])
def test_a_time_in_an_unknown_form_is_kept_as_sent(value: str) -> None:
    assert scalars.parse_timestamp(value, INDIA) == (value, None)


@pytest.mark.parametrize(
    ("value", "amount"), [("0.5000", "0.5000"), (1, "1"), (0.5, "0.5"), (1e-05, "0.00001"), ("-1.5", "-1.5")]
)
def test_an_amount_is_kept_as_it_was_written(value: Any, amount: str) -> None:
    assert scalars.parse_amount(value) == amount


@pytest.mark.parametrize(
    "value", [None, "", "free", "1e5", "1_000", "NaN", True, float("nan"), "٣", "9" * 41, []]
)
def test_what_is_no_amount_is_missing(value: Any) -> None:
    assert scalars.parse_amount(value) is None


@pytest.mark.parametrize(
    "value", ["", "  ", "{{id}}", "@{{id}}", "{id}", "{{ flow.name }}", None, [], {}, float("nan")]
)
def test_an_unfilled_template_is_missing(value: Any) -> None:
    assert scalars.parse_text(value) is None


@pytest.mark.parametrize("value", ["{{id}}-1", "a}", "{", "}", "{{a}} {{b}}"])
def test_what_only_holds_a_template_is_a_text(value: str) -> None:
    assert scalars.parse_text(value) == value


def test_texts_are_cut_or_missing_where_they_are_too_long() -> None:
    assert scalars.parse_word("x" * 200) == "x" * 100
    assert scalars.parse_id("x" * 201) is None
    assert scalars.parse_url("https://x/" + "y" * 1990) == "https://x/" + "y" * 1990
    assert scalars.parse_url("https://x/" + "y" * 1991) is None
