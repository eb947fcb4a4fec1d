"""Loading settings from the file and the environment."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tracker.domain.accounts import Account, Dialling, VariablesEncoding
from tracker.errors import ConfigurationError
from tracker.settings import Settings, load_settings

THUNDERSMS = "TRACKER_ACCOUNTS__THUNDERSMS__"


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)


def load(toml: str = "", /, **environ: str) -> Settings:
    """Load the settings from a tracker.toml and an environment."""
    Path("tracker.toml").write_text(toml, encoding="utf-8")
    return load_settings(environ)


def refusal(toml: str = "", /, **environ: str) -> str:
    """Return the message of the error that loading raises."""
    with pytest.raises(ConfigurationError) as caught:
        load(toml, **environ)
    return str(caught.value)


def test_defaults_hold_without_file_and_environment() -> None:
    settings = load_settings({})

    assert settings.database_url == "sqlite:///tracker.db"
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert settings.server.trusted_proxies == ("127.0.0.1",)
    assert settings.api_token is None
    assert settings.account_values() == {}
    assert settings.config_file is None


def test_default_file_is_in_the_working_directory() -> None:
    settings = load("[server]\nport = 9000")

    assert settings.server.port == 9000
    assert settings.config_file == Path("tracker.toml")


def test_tracker_config_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[server]\nport = 9001")

    assert load(TRACKER_CONFIG=str(tmp_path / "other.toml")).server.port == 9001


def test_named_file_must_exist() -> None:
    assert "TRACKER_CONFIG names gone.toml, which does not exist" in refusal(TRACKER_CONFIG="gone.toml")
    with pytest.raises(ConfigurationError, match=r"^also-gone\.toml, which does not exist"):
        load_settings({}, Path("also-gone.toml"))


def test_path_argument_wins_over_tracker_config(tmp_path: Path) -> None:
    (tmp_path / "argument.toml").write_text("[server]\nport = 9002")

    assert load_settings({"TRACKER_CONFIG": "gone.toml"}, tmp_path / "argument.toml").server.port == 9002


def test_environment_wins_key_by_key() -> None:
    settings = load(
        '[server]\nhost = "0.0.0.0"\nport = 1\n[accounts.a]\nregion = "GB"\nbridge = "918068280000"',
        TRACKER_SERVER__PORT="2",
        TRACKER_ACCOUNTS__A__REGION="US",
        TRACKER_ACCOUNTS__B__ACCESS_TOKEN="only from the environment".replace(" ", "-"),
    )

    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 2)
    accounts = settings.account_values()
    assert (accounts["a"].region, accounts["a"].bridge) == ("US", "918068280000")
    assert accounts["b"].access_token == "only-from-the-environment"


def test_tables_and_lists_in_the_environment_are_json() -> None:
    settings = load(
        '[accounts.a]\nlanes = { one = "w1", two = "w2" }',
        TRACKER_SERVER__TRUSTED_PROXIES='["10.0.0.0/8", "::1"]',
        TRACKER_ACCOUNTS__A__LANES='{"two": "W2", "three": "w3"}',
        TRACKER_ACCOUNTS__A__LANES__FOUR="w4",
        TRACKER_ACCOUNTS__A__EXTRA='{"custom": "{submission}", "deep": {"list": [1, true], "empty": {}, "no": null}}',
        TRACKER_ACCOUNTS__B='{"access_token": "t", "timeout_s": 3}',
        TRACKER_ACCOUNTS__B__TIMEOUT_S="4",
    )

    assert settings.server.trusted_proxies == ("10.0.0.0/8", "::1")
    accounts = settings.account_values()
    assert accounts["a"].lanes == {"one": "w1", "two": "W2", "three": "w3", "four": "w4"}
    assert accounts["a"].extra == {
        "custom": "{submission}",
        "deep": {"list": [1, True], "empty": {}, "no": None},
    }
    assert (accounts["b"].access_token, accounts["b"].timeout_s) == ("t", 4.0)


def test_text_in_the_environment_is_not_parsed_as_json() -> None:
    account = load(
        TRACKER_ACCOUNTS__A__ACCESS_TOKEN="12345", TRACKER_ACCOUNTS__A__WEBHOOK_ID="true"
    ).account_values()

    assert (account["a"].access_token, account["a"].webhook_id) == ("12345", "true")


def test_variables_without_a_double_underscore_are_no_settings() -> None:
    settings = load(
        TRACKER_PORT="tcp://10.0.0.1:80", TRACKER_DEMO="1", TRACKER_DATABASE="x", TRACKER__X="y", OTHER__X="z"
    )

    assert settings.model_dump() == Settings().model_dump()


def test_empty_variable_unsets_an_optional_setting() -> None:
    settings = load(
        TRACKER_SERVER__API_TOKEN="", TRACKER_SERVER__PUBLIC_URL="", TRACKER_ACCOUNTS__A__PROXY=""
    )

    assert settings.api_token is None
    assert settings.server.public_url is None
    assert settings.account_values()["a"].proxy is None


def test_empty_account_table_is_an_account() -> None:
    assert load("[accounts.a]").account_values() == {"a": Account(name="a")}


def test_account_defaults_are_those_of_the_domain() -> None:
    """They are declared twice, because the domain builds accounts without the settings."""
    assert load("[accounts.thundersms]").account_values()["thundersms"] == Account(name="thundersms")


def test_every_account_setting_reaches_the_account() -> None:
    account = load(
        """
        [accounts.thundersms]
        base_url = "http://127.0.0.1:9/api/v2"
        access_token = "the-access-token"
        webhook_id = "w"
        webhook_secrets = ["1233XXX", "the-next-one"]
        allow_unsigned = true
        webhook_token = "validation"
        lanes = { a = "wa" }
        callback_keys = { id = "call_id", to = "outgoing.mobile" }
        extra = { custom = "{submission}" }
        variables_encoding = "json-nested"
        secret_variables = ["otp"]
        bridge = 918068280000
        time_zone = "UTC"
        poll_time_zone = "Asia/Kolkata"
        answer_time_zone = "Europe/London"
        region = "gb"
        calls_per_second = 0.5
        timeout_s = 120
        proxy = "http://user:pw@proxy:3128"
        dialling = "allowlist"
        allow_to = ["+918919525224", "020 7946 0958", 919812345678]
        """
    ).account_values()["thundersms"]

    assert account == Account(
        name="thundersms",
        base_url="http://127.0.0.1:9/api/v2/",
        access_token="the-access-token",
        webhook_id="w",
        webhook_secrets=("1233XXX", "the-next-one"),
        allow_unsigned=True,
        webhook_token="validation",
        lanes={"a": "wa"},
        callback_keys={"id": "call_id", "to": "outgoing.mobile"},
        extra={"custom": "{submission}"},
        variables_encoding=VariablesEncoding.json_nested,
        secret_variables=("otp",),
        bridge="918068280000",
        time_zone=ZoneInfo("UTC"),
        poll_time_zone=ZoneInfo("Asia/Kolkata"),
        answer_time_zone=ZoneInfo("Europe/London"),
        region="GB",
        calls_per_second=0.5,
        timeout_s=120.0,
        proxy="http://user:pw@proxy:3128",
        dialling=Dialling.allowlist,
        allow_to=frozenset({"+918919525224", "+442079460958", "+919812345678"}),
    )


def test_secret_is_read_from_its_file(tmp_path: Path) -> None:
    for name, text in {
        "token": "from a file\n".replace(" ", "-"),
        "secrets": "one-secret\r\n\nanother-secret\n",
        "url": "postgresql://u:p@h/db\n",
        "api": "sixteen-characters-or-more",
    }.items():
        (tmp_path / name).write_bytes(text.encode())
    settings = load(
        '[accounts.a]\naccess_token_file = "token"\nwebhook_secrets_file = "secrets"\n[database]\nurl_file = "url"',
        TRACKER_SERVER__API_TOKEN_FILE=str(tmp_path / "api"),
    )

    account = settings.account_values()["a"]
    assert account.access_token == "from-a-file"
    assert account.webhook_secrets == ("one-secret", "another-secret")
    assert settings.database_url == "postgresql://u:p@h/db"
    assert settings.api_token == "sixteen-characters-or-more"


def test_secret_in_the_environment_wins_over_its_file() -> None:
    settings = load('[accounts.a]\naccess_token_file = "gone"', TRACKER_ACCOUNTS__A__ACCESS_TOKEN="from-env")

    assert settings.account_values()["a"].access_token == "from-env"


def test_secret_and_its_file_exclude_each_other() -> None:
    assert "access_token_file (tracker.toml): only one of them may be set" in refusal(
        '[accounts.a]\naccess_token = "x"\naccess_token_file = "y"'
    )
    assert "TRACKER_SERVER__API_TOKEN and TRACKER_SERVER__API_TOKEN_FILE: only one of them" in refusal(
        TRACKER_SERVER__API_TOKEN="x", TRACKER_SERVER__API_TOKEN_FILE="y"
    )


def test_unreadable_secret_file_is_named() -> None:
    message = refusal('[accounts.a]\naccess_token_file = "no/such/file"')

    assert message == (
        "accounts.a.access_token_file (tracker.toml): no/such/file cannot be read: No such file or directory"
    )


def test_other_settings_have_no_file() -> None:
    assert "server.host_file (tracker.toml): unknown key" in refusal('[server]\nhost_file = "x"')


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().server.port = 1
