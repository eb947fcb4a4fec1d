"""The command `tracker doctor` finds each thing that can be wrong, and says what to do."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.conftest import Cli, simulated
from tracker.domain.accounts import Account
from tracker.lifecycle.operations.doctor import check_provider


@contextmanager
def server(
    *, token: str = "a-validation-key", secret: str = "a-secret-of-the-webhook", status: int = 200
) -> Iterator[str]:
    """Run a server that knows the provider's handshake, and return its public address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code, answer = status, {"ok": True}
            if urlsplit(self.path).path != "/p/callbacks/thundersms":
                code = 404
            elif self.headers.get("Authorization") != f"Bearer {secret}":
                code = 401
            elif parse_qs(urlsplit(self.path).query)["token"] == [token]:
                answer = {"challenge": body["challenge"]}
            said = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/p"
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def configure(cli: Cli, base_url: str, public_url: str | None) -> None:
    cli.configure(base_url)
    file = cli.folder / "tracker.toml"
    text = file.read_text().replace("a-token-of-the-account", "simulated-token")
    file.write_text(
        text.replace("[server]\n", f'[server]\npublic_url = "{public_url}"\n') if public_url else text
    )
    file.chmod(0o600)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with simulated() as url:
        yield url


def checks(cli: Cli, *, code: int) -> dict[str, tuple[str, str]]:
    """Return state and message of the last check of each name."""
    document = cli.json("doctor", code=code)
    assert document["ok"] is (code == 0)
    return {c["name"]: (c["state"], c["message"]) for c in document["checks"]}


def test_doctor_finds_everything_ok(cli: Cli, base_url: str) -> None:
    with server() as public_url:
        configure(cli, base_url, public_url)
        cli("db", "upgrade")
        found = checks(cli, code=0)
    assert {name: state for name, (state, _) in found.items()} == {
        "configuration": "ok",
        "database": "ok",
        "dialling thundersms": "ok",
        "provider thundersms": "ok",
        "clock thundersms": "ok",
        "callbacks thundersms": "ok",
    }
    assert "a-secret-of-the-webhook" not in str(found)


def test_doctor_places_no_call_and_makes_no_database(cli: Cli, base_url: str) -> None:
    configure(cli, base_url, None)
    found = checks(cli, code=0)
    assert "does not exist yet" in found["database"][1]
    assert found["callbacks thundersms"][0] == "warn"
    assert [f.name for f in cli.folder.iterdir()] == ["tracker.toml"]


def test_doctor_fails_when_the_provider_refuses_the_token(cli: Cli, base_url: str) -> None:
    configure(cli, base_url, None)
    file = cli.folder / "tracker.toml"
    file.write_text(file.read_text().replace("simulated-token", "another-token"))
    state, message = checks(cli, code=1)["provider thundersms"]
    assert state == "fail"
    assert "access_token" in message
    assert "another-token" not in message


def test_doctor_advises_base_url_when_it_is_not_the_api(cli: Cli, base_url: str) -> None:
    configure(cli, base_url.replace("/v2/", "/v9/"), None)
    state, message = checks(cli, code=1)["provider thundersms"]
    assert state == "fail"
    for words in ("/v9/ did not answer", "404", "Check base_url"):
        assert words in message
    assert "later" not in message


def test_doctor_fails_when_the_provider_is_unreachable(cli: Cli) -> None:
    configure(cli, "http://127.0.0.1:9/api/v2/", None)
    state, message = checks(cli, code=1)["provider thundersms"]
    assert state == "fail"
    assert "base_url" in message


@pytest.mark.parametrize(
    ("given", "state", "word"),
    [
        ({"secret": "another"}, "fail", "secret"),
        ({"token": "another"}, "fail", "webhook_token"),
        ({"status": 502}, "fail", "502"),
    ],
)
def test_doctor_checks_where_the_public_url_leads(
    cli: Cli, base_url: str, given: dict[str, str], state: str, word: str
) -> None:
    with server(**given) as public_url:  # type: ignore[arg-type]
        configure(cli, base_url, public_url)
        found = checks(cli, code=1)["callbacks thundersms"]
    assert found[0] == state
    assert word in found[1]


def test_doctor_fails_when_an_account_has_no_webhook_secret(cli: Cli, base_url: str) -> None:
    configure(cli, base_url, None)
    file = cli.folder / "tracker.toml"
    file.write_text(file.read_text().replace('webhook_secrets = ["a-secret-of-the-webhook"]', ""))
    state, message = checks(cli, code=1)["configuration"]
    assert state == "fail"
    assert "webhook_secrets" in message


def test_doctor_fails_when_the_configuration_does_not_load(cli: Cli) -> None:
    (cli.folder / "tracker.toml").write_text("[server]\nprot = 1\n")
    state, message = checks(cli, code=1)["configuration"]
    assert state == "fail"
    assert "server.port" in message


def test_doctor_warns_of_secrets_that_others_can_read(cli: Cli, base_url: str) -> None:
    configure(cli, base_url, None)
    (cli.folder / "tracker.toml").chmod(0o644)
    document = cli.json("doctor")["checks"]
    assert any(c["state"] == "warn" and "chmod 600" in c["message"] for c in document)


@pytest.mark.parametrize(("ahead_s", "state"), [(0, "ok"), (120, "warn"), (-120, "warn")])
def test_doctor_warns_of_a_wrong_clock(base_url: str, ahead_s: int, state: str) -> None:
    account = Account(name="a", base_url=base_url, access_token="simulated-token")
    now = datetime.now(UTC) + timedelta(seconds=ahead_s)
    token, clock = check_provider(account, now)
    assert (token.state, clock.state) == ("ok", state)


def without_seconds(text: str) -> str:
    """Return the text without the clocks' difference, which may change by a second between two runs."""
    return re.sub(r"within \d+ s\b", "within some seconds", " ".join(text.split()))


def test_doctor_prints_a_line_for_each_check(
    cli: Cli, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(cli, base_url, None)
    result = cli("doctor")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == len(cli.json("doctor")["checks"])
    assert all(line.startswith(("ok    ", "warn  ")) for line in result.stdout.splitlines())
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    narrow = cli("doctor").stdout.splitlines()
    assert all(len(line) <= 80 or " " not in line.strip() for line in narrow)
    assert without_seconds(" ".join(narrow)) == without_seconds(result.stdout)


def test_doctor_fails_without_a_configuration(cli: Cli) -> None:
    state, message = checks(cli, code=1)["configuration"]
    assert state == "fail"
    assert str(cli.folder) in message
    assert "tracker init" in message
    assert list(cli.folder.iterdir()) == []


def test_doctor_fails_when_the_database_cannot_be_made(
    cli: Cli, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(cli, base_url, None)
    monkeypatch.setenv("TRACKER_DATABASE__URL", f"sqlite:///{cli.folder}/nowhere/tracker.db")
    state, message = checks(cli, code=1)["database"]
    assert state == "fail"
    assert f"{cli.folder}/nowhere/tracker.db" in message


def test_doctor_fails_when_the_file_is_no_database(cli: Cli, base_url: str) -> None:
    configure(cli, base_url, None)
    (cli.folder / "tracker.db").write_text("not a database, and longer than the header of one" * 30)
    state, message = checks(cli, code=1)["database"]
    assert state == "fail"
    assert str(cli.folder / "tracker.db") in message


@pytest.mark.parametrize(
    ("lines", "state", "words"),
    [
        ("", "ok", "live: every number can be dialled"),
        (
            'dialling = "allowlist"\nallow_to = ["+918919525224", "+918867130003"]',
            "ok",
            "+918867130003, +918919525224",
        ),
        ('dialling = "allowlist"', "warn", "`allow_to` is empty"),
        ('dialling = "off"', "ok", "off: no number is dialled"),
    ],
)
def test_doctor_names_the_numbers_that_can_be_dialled(
    cli: Cli, base_url: str, lines: str, state: str, words: str
) -> None:
    configure(cli, base_url, None)
    with (cli.folder / "tracker.toml").open("a") as file:
        file.write(lines + "\n")
    found = checks(cli, code=0)["dialling thundersms"]
    assert (found[0], words in found[1]) == (state, True), found


def test_doctor_fails_when_an_account_has_no_token(cli: Cli, base_url: str) -> None:
    """Callbacks of the account are taken, but no call can be placed."""
    configure(cli, base_url, None)
    file = cli.folder / "tracker.toml"
    file.write_text(file.read_text().replace('access_token = "simulated-token"\n', ""))
    state, message = checks(cli, code=1)["configuration"]
    assert (state, "accounts.thundersms.access_token" in message) == ("fail", True)
