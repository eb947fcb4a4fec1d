"""The tracker.toml that `tracker init` writes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from tracker.errors import ConfigurationError, Conflict


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What goes into the file; the secrets are fresh ones."""

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


def text_of(wanted: Wanted) -> str:
    """The file's content; what is not known stands in it as a comment."""
    lines: list[str] = [
        "# Written by `tracker init`. Every key is explained in docs/reference/configuration.md.",
        "",
        "[database]",
        _key("url", f"sqlite:///{wanted.database}"),
        "",
        "[server]",
        'host = "127.0.0.1"',
        "port = 8000",
        _key(
            "public_url",
            wanted.public_url,
            "https://calls.example.com",
            "where the provider reaches this server",
        ),
        _key("api_token", wanted.api_token, "", "who shows it may read and dial"),
        "",
        f"[accounts.{wanted.account}]",
        _key("provider", wanted.provider),
        _key("base_url", wanted.base_url),
    ]
    if wanted.access_token_file:
        lines.append(_key("access_token_file", wanted.access_token_file))
    else:
        lines.append(_key("access_token", wanted.access_token, "…", "from the provider's panel"))
    lines += [
        _key("webhook_id", wanted.webhook_id, "…", "what the provider calls the webhook that points here"),
        _key("webhook_secrets", [wanted.webhook_secret], "", "callbacks must carry it"),
        _key("webhook_token", wanted.webhook_token, "", "the validation token of the webhook"),
        _key("bridge", wanted.bridge, "918068280000", "the number that calls"),
        "",
        '# So that nobody is dialled by accident, only these numbers may be. dialling = "live" lifts it.',
        _key("dialling", "allowlist"),
        _key("allow_to", [wanted.my_number] if wanted.my_number else []),
    ]
    return "\n".join(lines) + "\n"


def _key(name: str, value: str | Sequence[str] | None, example: str = "", comment: str = "") -> str:
    """A line of the file. TOML's texts are JSON's where there are no control characters."""
    if name == "url" and value is not None and "?" in value:
        raise ConfigurationError(
            f"{value} has a ?, which no path of a database can have; name one with --database"
        )
    for text in [value] if isinstance(value, str) else value or []:
        if not text.isprintable():
            raise ConfigurationError(
                f"{name} holds a character that cannot be written down; check what was given"
            )
    line = (
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        if value is not None
        else f'# {name} = "{example}"'
    )
    return f"{line}   # {comment}" if comment else line


def write(path: Path, wanted: Wanted, *, force: bool) -> None:
    """Write the file, readable by its owner only. It is loaded before it takes its place, so what stands there works.

    force: replace one that is there; of a link the link, and not the file that it leads to. Raises Conflict where there
    is one already and it must not be replaced, or what is there is no regular file; and ConfigurationError.
    """
    from tracker.settings import load_settings

    refuse(path, force=force)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(text_of(wanted))
        load_settings({}, draft)
        refuse(path, force=force)
        if force:
            os.replace(draft, path)
        else:
            os.link(draft, path)  # unlike replacing, it fails where somebody was faster
    except FileExistsError:
        raise Conflict(
            f"{path} exists already; use --force to replace it, and its secrets, by new ones."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)


def refuse(path: Path, *, force: bool) -> None:
    """Raises Conflict where nothing may be written under this name: there is a file (unless `force`), or a device, a
    pipe or the like, in whose place a file would be put."""
    from tracker.store.engine.files import kind_of

    if kind := kind_of(path):
        raise Conflict(f"{path} is {kind}, which is never replaced; name a file with --config.")
    if path.exists() and not force:
        raise Conflict(f"{path} exists already; use --force to replace it, and its secrets, by new ones.")
