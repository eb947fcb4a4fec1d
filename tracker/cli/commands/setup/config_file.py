"""Writes the tracker.toml of `tracker init`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from tracker.errors import ConfigurationError, Conflict


@dataclass(frozen=True, kw_only=True)
class ConfigValues:
    """The values of the file. Its secrets are new ones."""

    provider: str
    base_url: str
    account: str
    #: the token itself, or the absolute path of the file that holds it, or neither
    access_token: str | None = field(default=None, repr=False)
    access_token_file: str | None = None
    bridge: str | None = None
    #: E.164 with "+"
    my_number: str | None = None
    public_url: str | None = None
    webhook_id: str | None = None
    #: the absolute path of SQLite's file
    database: Path
    api_token: str = field(default_factory=lambda: token_hex(24), repr=False)
    webhook_secret: str = field(default_factory=lambda: token_hex(24), repr=False)
    webhook_token: str = field(default_factory=lambda: token_hex(12), repr=False)

    @property
    def callback_url(self) -> str:
        """The address for the provider's callbacks, with a placeholder if the public address is not known."""
        return f"{self.public_url or 'https://YOUR-PUBLIC-ADDRESS'}/callbacks/{self.account}"


def format_config(values: ConfigValues) -> str:
    """Return the content of the file. Values that are not known stand in it as comments.

    Raises ConfigurationError for a value that cannot be written.
    """
    lines: list[str] = [
        "# Written by `tracker init`. Every key is explained in docs/reference/configuration.md.",
        "",
        "[database]",
        _line("url", f"sqlite:///{values.database}"),
        "",
        "[server]",
        'host = "127.0.0.1"',
        "port = 8000",
        _line(
            "public_url",
            values.public_url,
            "https://calls.example.com",
            "the provider reaches this server there",
        ),
        _line("api_token", values.api_token, "", "with it a client may read and dial"),
        "",
        f"[accounts.{values.account}]",
        _line("provider", values.provider),
        _line("base_url", values.base_url),
    ]
    if values.access_token_file:
        lines.append(_line("access_token_file", values.access_token_file))
    else:
        lines.append(_line("access_token", values.access_token, "…", "from the provider's panel"))
    lines += [
        _line("webhook_id", values.webhook_id, "…", "the provider's id of the webhook that points here"),
        _line("webhook_secrets", [values.webhook_secret], "", "callbacks must carry it"),
        _line("webhook_token", values.webhook_token, "", "the validation token of the webhook"),
        _line("bridge", values.bridge, "918068280000", "the number that calls"),
        "",
        '# Only these numbers may be dialled, so that nobody is called by accident. dialling = "live" lifts it.',
        _line("dialling", "allowlist"),
        _line("allow_to", [values.my_number] if values.my_number else []),
    ]
    return "\n".join(lines) + "\n"


def _line(key: str, value: str | Sequence[str] | None, example: str = "", comment: str = "") -> str:
    """Return a line of the file. A string of JSON is one of TOML if it has no control characters."""
    if key == "url" and value is not None and "?" in value:
        raise ConfigurationError(
            f"{value} has a ?, which no path of a database can have. Name another one with `--database`."
        )
    for text in [value] if isinstance(value, str) else value or []:
        if not text.isprintable():
            raise ConfigurationError(
                f"{key} has a character that cannot be written. Check the value that was given."
            )
    line = (
        f"{key} = {json.dumps(value, ensure_ascii=False)}" if value is not None else f'# {key} = "{example}"'
    )
    return f"{line}   # {comment}" if comment else line


def write_config(path: Path, values: ConfigValues, *, force: bool) -> None:
    """Write the file, readable by its owner only. It is loaded before it takes its place, so it works.

    force: replace a file that exists; if that is a link, replace the link and not its target. Raises Conflict if a file
    exists and `force` is not given, or if the path is no regular file. Raises ConfigurationError.
    """
    from tracker.settings import load_settings

    require_writable(path, force=force)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(format_config(values))
        load_settings({}, draft)
        require_writable(path, force=force)
        if force:
            os.replace(draft, path)
        else:
            os.link(draft, path)  # unlike a replacement, it fails if another process was faster
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        draft.unlink(missing_ok=True)


def require_writable(path: Path, *, force: bool) -> None:
    """Raise Conflict if no file may be written there.

    The reason is a file that exists (unless `force`), or a device, a pipe or the like, which a file would replace.
    """
    from tracker.store.engine.files import kind_of

    if kind := kind_of(path):
        raise Conflict(f"{path} is {kind}, which is never replaced. Name a file with `--config`.")
    if path.exists() and not force:
        raise _exists(path)


def _exists(path: Path) -> Conflict:
    return Conflict(f"{path} exists already. Use `--force` to replace it, and its secrets, with new ones.")
