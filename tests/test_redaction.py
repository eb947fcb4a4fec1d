"""What is taken out of a text, and what must stay as it is."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote, quote_plus

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.logs.redaction import Redactor, mask_number, mask_url_password, redact_text


@pytest.mark.parametrize(
    ("text", "redacted"),
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
def test_a_number_keeps_country_code_and_two_digits(text: str, redacted: str) -> None:
    assert redact_text(text) == redacted
    assert redact_text(redacted) == redacted


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
def test_what_is_no_number_stays(text: str) -> None:
    assert redact_text(text) == text


def some_numbers() -> st.SearchStrategy[str]:
    """Numbers of every country, from the library's own examples with other last digits."""
    examples = [
        phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    ]
    plain = [phonenumbers.format_number(n, phonenumbers.PhoneNumberFormat.E164) for n in examples if n]
    return st.tuples(st.sampled_from(plain), st.integers(0, 999)).map(lambda t: f"{t[0][:-3]}{t[1]:03}")


@given(
    some_numbers(),
    st.sampled_from(["{}", "to {}.", '"{}"', "x={}&y", "({})", "\n{}\n", "[{}]", "call of {}, {}"]),
)
def test_no_number_of_any_country_stays(number: str, around: str) -> None:
    redacted = redact_text(around.format(number, number))

    assert number[1:] not in redacted
    assert mask_number(number) in redacted


@given(st.text(), st.text())
def test_a_number_of_an_account_is_found_between_anything_but_letters_and_digits(
    before: str, after: str
) -> None:
    before, after = re.sub(r"[\w.%\\+]+$", "", before), re.sub(r"^\w+", "", after)

    assert "8919525224" not in redact_text(f"{before}918919525224{after}")


# From 2033 on, epoch milliseconds are as long as Nigerian numbers and begin like them.
@given(
    st.integers(1_000_000_000, 1_999_999_999),
    st.integers(0, 999_999),
    st.sampled_from([0, 60, 330, -300, 600, 840]),
)
def test_times_stay(seconds: int, microsecond: int, offset: int) -> None:
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
        assert redact_text(text) == text


@given(st.integers(1_000_000_000, 1_999_999_999))
def test_epoch_seconds_of_this_generation_stay(seconds: int) -> None:
    assert redact_text(f"at={seconds}") == f"at={seconds}"


@given(st.uuids(), st.sampled_from(["sub", "call", "ev", "cb"]))
def test_ids_stay(value: uuid.UUID, kind: str) -> None:
    crockford = "".join("0123456789abcdefghjkmnpqrstvwxyz"[value.int >> 5 * n & 31] for n in range(26))
    for text in (
        str(value),
        str(value).upper(),
        f"{value}:1",
        f"{kind}_{value.hex}",
        f"{kind}_{crockford}",
        f"/c/{value}/x",
    ):
        assert redact_text(text) == text


def test_uuids_made_of_digits_stay() -> None:
    text = str(uuid.UUID(int=0x91891952_5224_4918_9195_918919525224))

    assert redact_text(f"id={text}") == f"id={text}"


@given(st.floats(0, 1e6), st.integers(0, 999_999_999))
def test_durations_ports_and_counts_stay(seconds: float, count: int) -> None:
    text = f"took={seconds!r} n={count} :{count % 65536}"

    assert redact_text(text) == text


SECRET = 'k3y+/="\\ä%&'


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps({"body": json.dumps({"x": SECRET})}),
        repr(SECRET),
        repr({"x": [SECRET]}),
    ],
)
def test_a_secret_is_found_in_every_spelling(spelled: str) -> None:
    assert "k3y" not in redact_text(f"before {spelled} after", [SECRET])


@given(st.text(min_size=8), st.text(), st.text())
def test_a_secret_of_some_length_is_always_found(secret: str, before: str, after: str) -> None:
    # With asterisks it could be put together again by the mask itself.
    secret = secret.replace("*", "x")

    assert secret not in redact_text(before + secret + after, [secret])


def test_a_short_secret_counts_only_as_a_word() -> None:
    assert redact_text("1233XXX a1233XXXb token 1233XXX", ["1233XXX"]) == "******** a1233XXXb token ********"
    assert redact_text("an a in a word", ["a", "", "in"]) == "an a in a word"


def test_the_longer_of_two_secrets_goes_whole() -> None:
    assert redact_text("secret-one-and-more", ["secret-one", "secret-one-and-more"]) == "********"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2.x-y_z",
        "authorization: basic aHVudGVyMg==hunter2",
        "[(b'Authorization', b'Bearer hunter2')]",
        '{"authorization": "Bearer hunter2"}',
        '"{\\"Authorization\\": \\"Bearer hunter2\\"}"',
        "refused Bearer hunter2",
        "GET /outgoing/send?access_token=hunter2&to=1",
        "/callbacks/a?token=hunter2",
        "api_token=hunter2",
        "\x1b[36maccess_token\x1b[0m=\x1b[35mhunter2\x1b[0m",
        "{'webhook_token': 'hunter2'}",
        '{"validation_key": "hunter2"}',
        '{"body": "{\\"secret\\": \\"hunter2\\"}"}',
        "postgresql://tracker:hunter2@db/tracker",
        "postgresql+psycopg://tracker:p@ss-hunter2@db:5432/tracker",
        "host=db user=x password=hunter2 dbname=y",
        "http://user:hunter2@proxy:3128",
    ],
)
def test_credentials_are_found_by_what_stands_around_them(text: str) -> None:
    redacted = redact_text(text)

    assert "hunter2" not in redacted
    assert "********" in redacted
    assert redact_text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "the bearer is missing",
        "Bearer missing",
        "token expired, secret unknown",
        "api_token=None",
        '{"api_token": null}',
        "http://127.0.0.1:8000/callbacks/a?mail=a@b.example",
        "https://portal.thundersms.com/api/v2/",
    ],
)
def test_prose_about_credentials_stays(text: str) -> None:
    assert redact_text(text) == text


def test_a_url_is_shown_without_its_password() -> None:
    assert mask_url_password("postgresql://u:p%40ss@h:1/db?x=1") == "postgresql://u:********@h:1/db?x=1"
    assert mask_url_password("postgresql://u:p@s/s@h/db") == "postgresql://u:********@h/db"
    assert (
        mask_url_password("postgresql://h/db?user=u&password=p")
        == "postgresql://h/db?user=u&password=********"
    )
    assert mask_url_password("sqlite:///tracker.db") == "sqlite:///tracker.db"
    assert mask_url_password("p@ssword") == "********"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.just("a\n918919525224"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON, st.sampled_from([918919525224, "+918919525224", "\x01918919525224", "hunter2hunter2"]))
def test_json_stays_json(value: object, planted: object) -> None:
    line = Redactor(["hunter2hunter2"]).json(
        json.dumps({"value": value, "planted": [planted]}, ensure_ascii=False)
    )

    assert json.loads(line).keys() == {"value", "planted"}
    assert "8919525224" not in line
    assert "hunter2" not in line


def test_json_without_anything_to_hide_is_the_same_text() -> None:
    line = '{"event":"callback.stored",  "size": 312, "id": "cb_01jd8r7q6b3k5v9x2m4n6p8s0t"}'

    assert Redactor(["hunter2hunter2"]).json(line) == line


def test_a_member_that_only_its_name_gives_away() -> None:
    assert json.loads(Redactor().json('{"access_token": "a, b}", "n": 1}')) == {
        "access_token": "********",
        "n": 1,
    }
