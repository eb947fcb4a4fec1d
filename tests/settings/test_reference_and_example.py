"""The reference and tracker.example.toml name every setting."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tracker.settings import (
    AccountSettings,
    DatabaseSettings,
    RetentionSettings,
    ServerSettings,
    load_settings,
)
from tracker.settings.declarations import all_keys
from tracker.settings.reference import reference

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "tracker.example.toml").read_text(encoding="utf-8")

#: the beginning of a line that shows a setting and is commented out
COMMENTED = re.compile(r"^# (?=\w+ = )", re.MULTILINE)


def example_keys(text: str) -> set[str]:
    """Return the keys that an example shows; NAME stands for the account's name."""
    found, table = set(), ""
    for line in text.splitlines():
        if header := re.match(r"\[([\w.]+)\]", line):
            table = header[1].replace("thundersms", "NAME")
        elif key := re.match(r"(\w+) = ", line):
            found.add(f"{table}.{key[1]}")
    return found


def test_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")

    assert written == reference(), (
        "run: python -m tracker.settings.reference > docs/reference/configuration.md"
    )


@pytest.mark.parametrize("section", [DatabaseSettings, ServerSettings, RetentionSettings, AccountSettings])
def test_every_setting_has_help_and_a_default(section: type[AccountSettings]) -> None:
    assert [
        k for k, field in section.model_fields.items() if not field.description or field.is_required()
    ] == []


def test_example_names_every_setting_and_no_other() -> None:
    known = {".".join(key) for key in all_keys()} - {"database", "server", "retention", "accounts"}
    known -= {key for key in known if key.startswith("accounts.NAME.callback_keys.")}

    assert example_keys(COMMENTED.sub("", EXAMPLE)) == known


def test_example_works_with_secrets(tmp_path: Path) -> None:
    file = tmp_path / "tracker.toml"
    file.write_text(EXAMPLE, encoding="utf-8")
    environ = {
        "TRACKER_ACCOUNTS__THUNDERSMS__ACCESS_TOKEN": "a-token",
        "TRACKER_ACCOUNTS__THUNDERSMS__WEBHOOK_SECRETS": '["a-secret-of-some-length"]',
    }

    settings = load_settings(environ, file)

    settings.require_authenticated_callbacks()
    assert list(settings.accounts) == ["thundersms"]


def test_commented_lines_of_the_example_are_valid(tmp_path: Path) -> None:
    text = COMMENTED.sub("", EXAMPLE)
    text = "\n".join(line for line in text.splitlines() if not re.match(r"\w+_file = ", line))
    file = tmp_path / "tracker.toml"
    file.write_text(text, encoding="utf-8")

    account = load_settings({}, file).account_values()["thundersms"]

    assert account.callback_keys["to"] == "outgoing.mobile"
    assert account.lanes.keys() == {"a", "b"}


def test_example_shows_defaults_except_for_dialling() -> None:
    """The example dials no number by accident."""
    shown = tomllib.loads(EXAMPLE)["accounts"]["thundersms"]
    defaults = AccountSettings().model_dump(mode="json")

    assert {k: v for k, v in shown.items() if v != defaults[k]} == {"dialling": "allowlist"}
