"""Loaded settings: summary, secrets, warnings, and what the server requires."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tracker.errors import ConfigurationError
from tracker.settings import Settings, load_settings, summarise_settings

SECRETS = {
    "TRACKER_DATABASE__URL": "postgresql://admin:dbPassw%40rd@db.internal/calls",
    "TRACKER_SERVER__API_TOKEN": "api-token-of-the-administrator",
    "TRACKER_ACCOUNTS__A__ACCESS_TOKEN": "the-access-token",
    "TRACKER_ACCOUNTS__A__WEBHOOK_SECRETS": '["1233XXX", "secret-of-the-next-webhook"]',
    "TRACKER_ACCOUNTS__A__WEBHOOK_TOKEN": "the-validation-key",
    "TRACKER_ACCOUNTS__A__PROXY": "http://user:proxyPassword@proxy:3128",
}


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)


def with_account(**fields: str) -> Settings:
    """Return settings with one account that has these fields."""
    variables = {f"TRACKER_ACCOUNTS__A__{key.upper()}": value for key, value in fields.items()}
    return load_settings({"TRACKER_ACCOUNTS__A__ACCESS_TOKEN": "t", **variables})


def test_summary_has_every_setting_and_no_secret() -> None:
    settings = load_settings(SECRETS)
    summary = summarise_settings(settings)

    text = json.dumps(summary)
    assert [secret for secret in settings.secrets() if secret in text] == []
    assert summary["database.url"] == "postgresql://admin:***@db.internal/calls"
    assert summary["server.port"] == 8000
    assert summary["accounts.a.access_token"] == "***"
    assert summary["accounts.a.webhook_secrets"] == ["***", "***"]
    assert summary["accounts.a.proxy"] == "http://user:***@proxy:3128"
    assert summary["accounts.a.time_zone"] == "Asia/Kolkata"
    assert summary["accounts.a.webhook_id"] is None
    assert {key.removeprefix("accounts.a.") for key in summary if key.startswith("accounts.a.")} == set(
        type(settings.accounts["a"]).model_fields
    )


def test_repr_and_str_show_no_secret() -> None:
    settings = load_settings(SECRETS)

    text = f"{settings!r} {settings} {settings.account_values()!r}"
    assert [secret for secret in settings.secrets() if secret in text and "proxy" not in secret] == []


def test_secrets_are_all_those_configured() -> None:
    assert set(load_settings(SECRETS).secrets()) == {
        "dbPassw%40rd",
        "dbPassw@rd",
        "api-token-of-the-administrator",
        "the-access-token",
        "1233XXX",
        "secret-of-the-next-webhook",
        "the-validation-key",
        "proxyPassword",
    }


def test_password_that_is_a_common_word_is_not_masked() -> None:
    url = "postgresql://tracker:tracker@localhost/tracker"

    assert load_settings({"TRACKER_DATABASE__URL": url}).secrets() == ()


def test_server_requires_a_webhook_secret() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^accounts\.a\.webhook_secrets is empty.*allow_unsigned = true$"
    ):
        with_account().require_authenticated_callbacks()

    with_account(webhook_secrets='["s"]').require_authenticated_callbacks()
    with_account(allow_unsigned="true").require_authenticated_callbacks()


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"base_url": "http://portal.thundersms.com/api/v2/"}, "accounts.a.base_url is plain http"),
        (
            {"webhook_secrets": '["1233XXX"]'},
            "accounts.a.webhook_secrets has a secret of fewer than 16 characters",
        ),
        ({"allow_unsigned": "true"}, "accounts.a.allow_unsigned is true"),
        ({"dialling": "allowlist"}, "accounts.a.allow_to is empty"),
    ],
)
def test_doubtful_setting_is_a_warning(fields: dict[str, str], warning: str) -> None:
    assert [w[: len(warning)] for w in with_account(**fields).warnings()] == [warning]


def test_missing_token_is_a_limitation() -> None:
    settings = with_account(access_token="")
    assert [each.split(",")[0] for each in settings.limitations()] == ["accounts.a.access_token is not set"]
    assert (settings.warnings(), with_account().limitations()) == ([], [])


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost", "[::1]:80", "127.8.0.1", "portal.localhost"])
def test_plain_http_on_this_machine_is_no_warning(host: str) -> None:
    assert with_account(base_url=f"http://{host}/").warnings() == []


def test_plain_public_url_and_no_account_are_warnings() -> None:
    first, second = load_settings(
        {"TRACKER_SERVER__PUBLIC_URL": "http://calls.example.com/prefix/"}
    ).warnings()

    assert "no account is configured" in first
    assert "server.public_url is plain http" in second


def test_urls_differ_only_in_their_last_slash() -> None:
    settings = load_settings(
        {
            "TRACKER_SERVER__PUBLIC_URL": "https://Calls.Example.com/prefix/",
            "TRACKER_ACCOUNTS__A__BASE_URL": "HTTPS://Portal.Example.com/API",
        }
    )

    assert settings.server.public_url == "https://Calls.Example.com/prefix"
    assert settings.accounts["a"].base_url == "HTTPS://Portal.Example.com/API/"
