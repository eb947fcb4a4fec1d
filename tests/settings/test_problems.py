"""Messages about a wrong configuration: every problem at once, where it stands, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.errors import ConfigurationError
from tracker.settings import load_settings


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)


def refusal(toml: str = "", /, **environ: str) -> str:
    """Return the message of the error that loading a tracker.toml and an environment raises."""
    Path("tracker.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return str(caught.value)


@pytest.mark.parametrize(
    ("toml", "key", "nearest"),
    [
        ("[server]\nprot = 1", "server.prot", "server.port"),
        ("[sever]\nport = 1", "sever", "server"),
        ("[accounts.a]\nacess_token = 'x'", "accounts.a.acess_token", "accounts.a.access_token"),
        (
            "[accounts.a]\nacess_token_file = 'x'",
            "accounts.a.acess_token_file",
            "accounts.a.access_token_file",
        ),
        ("api_token = 'x'", "api_token", "server.api_token"),
        (
            "[accounts.a.callback_keys]\nstats = 'x'",
            "accounts.a.callback_keys.stats",
            "accounts.a.callback_keys.status",
        ),
    ],
)
def test_unknown_key_is_named_with_the_nearest_one(toml: str, key: str, nearest: str) -> None:
    assert refusal(toml) == f"{key} (tracker.toml): unknown key; the nearest known one is {nearest}"


def test_unknown_variable_is_named() -> None:
    assert refusal(TRACKER_SERVER__PROT="1") == (
        "server.prot (TRACKER_SERVER__PROT): unknown key; the nearest known one is server.port"
    )
    assert "(TRACKER_A__B__C): unknown key; known here: database, server, retention, accounts" in refusal(
        TRACKER_A__B__C="1"
    )


@pytest.mark.parametrize("keep", ["400", "400 days", "6d", "0w", "-1d", "P400D", "123456d", "every day"])
def test_wrong_retention_is_refused(keep: str) -> None:
    assert "retention.keep (TRACKER_RETENTION__KEEP): " in refusal(TRACKER_RETENTION__KEEP=keep)
    assert "must be" in refusal(TRACKER_RETENTION__KEEP=keep)


def test_retention_that_is_a_number_is_refused() -> None:
    assert "must be a number of days or weeks" in refusal("[retention]\nkeep = 400")


@pytest.mark.parametrize("section", ["rules.default", "policies.p", "reconcile"])
def test_planned_table_is_an_unknown_key(section: str) -> None:
    top = section.split(".")[0]

    assert f"{top} (tracker.toml): unknown key" in refusal(f"[{section}]\nafter = '15m'")


@pytest.mark.parametrize("key", ["policy = ''", "max_open_calls = 0"])
def test_planned_key_is_an_unknown_key(key: str) -> None:
    assert f"accounts.a.{key.split()[0]} (tracker.toml): unknown key" in refusal(f"[accounts.a]\n{key}")


def test_every_problem_is_a_line() -> None:
    lines = refusal(
        '[server]\nport = "many"\nhots = "x"\n[accounts.a]\nregion = "XX"\ntimeout_s = 0',
        TRACKER_ACCOUNTS__A__SECRET_VARIABLES="otp",
        TRACKER_SERVER__PUBLIC_URL="calls.example.com",
    ).splitlines()

    assert [line.split(" (")[0] for line in lines] == [
        "server.hots",
        "accounts.a.secret_variables",
        "server.port",
        "server.public_url",
        "accounts.a.region",
        "accounts.a.timeout_s",
    ]
    assert lines[3] == (
        "server.public_url (TRACKER_SERVER__PUBLIC_URL): 'calls.example.com': must be an http:// or https:// URL"
    )


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("provider = 'bics'", "'bics': must be 'thundersms'"),
        ("base_url = 'portal.thundersms.com'", "must be an http:// or https:// URL"),
        ("base_url = 'https://portal:port/'", "must be an http:// or https:// URL"),
        ("base_url = 'https://portal/?a=b'", "without query"),
        ("allow_unsigned = 'perhaps'", "must be a valid boolean"),
        ("webhook_secrets = ['']", "must not contain an empty secret"),
        ("access_token = 'two words'", "must have no spaces"),
        ("lanes = { 'A-1' = 'w' }", "must have names of a-z, 0-9 and _"),
        ("lanes = { a = 'w', b = 'w' }", "must name another webhook for every lane"),
        ("lanes = 'w'", "must be a table"),
        ("callback_keys = { id = '' }", "must name a key of the callback"),
        ("extra = { to = '1' }", "must not contain to"),
        ("extra = { 'variables[otp]' = '1' }", "must not contain variables[otp]"),
        (
            "extra = { a = ['{submision}'] }",
            "must not contain {submision}: only {submission}, {call}, {reference}",
        ),
        ("extra = { a = 2026-01-01 }", "must contain only what JSON has"),
        ("extra = { a = nan }", "must contain only what JSON has"),
        ("variables_encoding = 'xml'", "'xml': must be 'json', 'json-nested' or 'form'"),
        ("secret_variables = ['1otp']", "a letter first"),
        ("bridge = '12'", "'12': a bridge has 3 to 15 digits"),
        ("bridge = '91886713XXXX'", "only digits, one leading +"),
        ("time_zone = 'Asia/Kolkatta'", "the nearest is 'Asia/Kolkata'"),
        ("time_zone = 'Asia'", "must be an IANA time zone"),
        ("poll_time_zone = '../../etc/passwd'", "must be an IANA time zone"),
        ("region = 'India'", "must be a country of two letters"),
        ("calls_per_second = 0", "0: must be greater than 0"),
        ("calls_per_second = inf", "must be a finite number"),
        ("timeout_s = 121", "must be less than or equal to 120"),
        ("proxy = 'socks4://x'", "must be an http:// or https:// URL"),
        ("dialling = 'maybe'", "must be 'live', 'allowlist' or 'off'"),
        ("allow_to = ['91886713XXXX']", "only digits, one leading +"),
        ("allow_to = ['123']", "not a valid telephone number"),
        ("allow_to = ['123', '+918919525224', '45']", "'123': not a valid telephone number"),
        ("allow_to = ['123', '+918919525224', '45']", "'45': not a valid telephone number"),
    ],
)
def test_wrong_account_setting_names_what_is_allowed(line: str, allowed: str) -> None:
    message = refusal(f"[accounts.a]\n{line}")

    assert message.startswith(f"accounts.a.{line.split()[0]} (tracker.toml): ")
    assert allowed in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("port = 65536", "65536: must be less than or equal to 65535"),
        ("public_url = 'https://a/?b'", "without user name, query and fragment"),
        ("trusted_proxies = ['nginx']", "must be IP addresses or networks"),
        ("trusted_proxies = '127.0.0.1'", "must be a valid tuple"),
        ("api_token = 'short'", "at least 16 characters"),
    ],
)
def test_wrong_server_setting_names_what_is_allowed(line: str, allowed: str) -> None:
    assert allowed in refusal(f"[server]\n{line}")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("mysql://u:hunter2@h/db", "must begin with sqlite:/// or postgresql://"),
        ("postgresql://u:hunter2@x@h/db", "percent-encoded"),
        ("postgresql://u:hunter2/x@h/db", "must be postgresql://"),
        ("hunter2", "must begin with"),
    ],
)
def test_wrong_database_url_is_named_without_its_password(url: str, allowed: str) -> None:
    message = refusal(TRACKER_DATABASE__URL=url)

    assert message.startswith("database.url (TRACKER_DATABASE__URL): ")
    assert allowed in message
    assert "hunter2" not in message


def test_no_message_shows_a_secret() -> None:
    secret = "hunter2 hunter2"
    message = refusal(
        f'[server]\napi_token = ["{secret}"]\n'
        f'[accounts.a]\naccess_token = "{secret}"\nwebhook_token = "{secret}"\nwebhook_secrets = ["", "{secret}"]\n'
        f'access_tokn = "{secret}"\nproxy = "socks://u:{secret}@h"\n'
        f'[accounts.b]\naccess_token = {{ x = "{secret}" }}\nwebhook_secrets = "{secret}"',
        TRACKER_ACCOUNTS__C=f'{{"access_token": "{secret}"',
        TRACKER_ACCOUNTS__D__WEBHOOK_SECRETS=f'["{secret}"',
        TRACKER_ACCOUNTS__E__WEBHOOK_SECRETS=f'"{secret}"',
    )

    assert len(message.splitlines()) == 11
    assert "hunter2" not in message


@pytest.mark.parametrize("name", ["My-Account", "a__b", "é", "a b"])
def test_wrong_account_name_is_refused(name: str) -> None:
    assert "the name of an account must be of a-z, 0-9 and _" in refusal(f'[accounts."{name}"]')


def test_toml_syntax_error_names_file_and_line() -> None:
    message = refusal("[server]\nport = 8000\nhost = 127.0.0.1\n")

    assert message.startswith("tracker.toml is not valid TOML: ")
    assert "line 3" in message


def test_file_in_another_encoding_is_refused() -> None:
    Path("latin.toml").write_bytes("# caf\xe9".encode("latin-1"))
    with pytest.raises(
        ConfigurationError, match=r"latin\.toml is not valid TOML: it is not written in UTF-8"
    ):
        load_settings({}, Path("latin.toml"))


def test_directory_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read: Is a directory"):
        load_settings({}, Path("."))


@pytest.mark.parametrize("text", ["abc", "[1", '"abc"', '{"a": 1}', "", "[" * 100_000])
def test_variable_that_is_no_json_is_named(text: str) -> None:
    message = refusal(TRACKER_SERVER__TRUSTED_PROXIES=text)

    assert message.startswith(
        'server.trusted_proxies (TRACKER_SERVER__TRUSTED_PROXIES): must be JSON such as ["a", "b"]'
    )


def test_value_in_place_of_a_table_is_refused() -> None:
    assert refusal('server = "x"') == "server (tracker.toml): must be a table"
    assert refusal("accounts = 1") == "accounts (tracker.toml): must be a table"


def test_wrong_region_hides_only_numbers_that_need_it() -> None:
    message = refusal("[accounts.a]\nallow_to = ['+1', '123']\nregion = 'XX'")
    assert "accounts.a.region" in message
    assert "'+1': not a valid telephone number" in message
    assert "'123': " not in message


def test_variable_with_single_underscores_is_a_warning() -> None:
    """It is no error, because container platforms set variables with such names."""
    settings = load_settings(
        {
            "TRACKER_SERVER_PORT": "tcp://10.0.0.1:8000",
            "TRACKER_DATABASE_URL": "postgresql://u:secret@h/d",
            "TRACKER_SERVER_API_TOKEN_FILE": "/run/secrets/token",
            "TRACKER_ACCOUNTS_THUNDERSMS_ACCESS_TOKEN": "t",
            "TRACKER_ACCOUNTS__A__ACCESS_TOKEN": "t",
            "TRACKER_CONFIG": "",
            "TRACKER_PORT_8000_TCP_ADDR": "10.0.0.1",
            "TRACKER_TEST_POSTGRES_URL": "x",
            "TRACKER_DATABASE": "x",
        }
    )
    ignored = [w for w in settings.warnings() if "ignored" in w]
    assert [(w.split()[0], w.split()[-1]) for w in ignored] == [
        ("TRACKER_ACCOUNTS_THUNDERSMS_ACCESS_TOKEN", "TRACKER_ACCOUNTS__THUNDERSMS__ACCESS_TOKEN"),
        ("TRACKER_DATABASE_URL", "TRACKER_DATABASE__URL"),
        ("TRACKER_SERVER_API_TOKEN_FILE", "TRACKER_SERVER__API_TOKEN_FILE"),
    ]
    assert "secret" not in " ".join(ignored)
