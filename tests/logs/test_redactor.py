"""Tests that the redactor masks secrets, credentials and numbers in log entries, and keeps the rest."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.logs.redaction import Redactor, mask_url_password

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
def test_redactor_masks_a_secret_in_each_spelling(spelled: str) -> None:
    assert "k3y" not in Redactor([SECRET])(f"before {spelled} after")


@given(st.text(min_size=8), st.text(), st.text())
def test_redactor_masks_a_secret_in_any_text(secret: str, before: str, after: str) -> None:
    # With asterisks it could be put together again by the mask itself.
    secret = secret.replace("*", "x")

    assert secret not in Redactor([secret])(before + secret + after)


def test_redactor_masks_a_short_secret_only_as_a_word() -> None:
    assert Redactor(["1233XXX"])("1233XXX a1233XXXb token 1233XXX") == "*** a1233XXXb token ***"
    assert Redactor(["a", "", "in"])("an a in a word") == "an a in a word"


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
def test_redactor_masks_a_credential_by_its_context(text: str) -> None:
    redacted = Redactor()(text)

    assert "hunter2" not in redacted
    assert "***" in redacted
    assert Redactor()(redacted) == redacted


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
def test_redactor_keeps_prose_about_credentials(text: str) -> None:
    assert Redactor()(text) == text


def test_mask_url_password_keeps_the_rest_of_the_url() -> None:
    assert mask_url_password("postgresql://u:p%40ss@h:1/db?x=1") == "postgresql://u:***@h:1/db?x=1"
    assert mask_url_password("postgresql://u:p@s/s@h/db") == "postgresql://u:***@h/db"
    assert mask_url_password("postgresql://h/db?user=u&password=p") == "postgresql://h/db?user=u&password=***"
    assert mask_url_password("sqlite:///tracker.db") == "sqlite:///tracker.db"
    assert mask_url_password("p@ssword") == "***"


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
def test_redact_json_returns_json(value: object, planted: object) -> None:
    line = Redactor(["hunter2hunter2"]).redact_json(
        json.dumps({"value": value, "planted": [planted]}, ensure_ascii=False)
    )

    assert json.loads(line).keys() == {"value", "planted"}
    assert "8919525224" not in line
    assert "hunter2" not in line


def test_redact_json_keeps_a_line_with_nothing_to_mask() -> None:
    line = '{"event":"callback.stored",  "size": 312, "id": "cb_01jd8r7q6b3k5v9x2m4n6p8s0t"}'

    assert Redactor(["hunter2hunter2"]).redact_json(line) == line


def test_redact_json_masks_a_member_by_its_name() -> None:
    assert json.loads(Redactor().redact_json('{"access_token": "a, b}", "n": 1}')) == {
        "access_token": "***",
        "n": 1,
    }
