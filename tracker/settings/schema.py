"""All settings: the sections that this version has, each field declared once, with its default and its help."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, field_validator

from tracker.domain.accounts import Account
from tracker.errors import ConfigurationError
from tracker.logs.redaction import MASK, mask_url_password
from tracker.settings.account import AccountSettings
from tracker.settings.field_types import (
    MaskPassword,
    OptionalAge,
    OptionalSecret,
    OptionalText,
    Section,
    age_text,
    http_url,
    is_plain_http,
)

ACCOUNT_NAME = re.compile(r"(?!.*__)[a-z0-9_]+")


class DatabaseSettings(Section):
    """Where calls, callbacks and events are kept."""

    url: Annotated[SecretStr, MaskPassword()] = Field(
        default=SecretStr("sqlite:///tracker.db"),
        description="`sqlite:///` and a path (relative to the working directory; a fourth slash makes it absolute, and "
        "that is what `tracker init` writes), or `postgresql://user:password@host/name`. Special characters in a "
        "password are written as in any URL: `@` is `%40`.",
    )

    @field_validator("url")
    @classmethod
    def _one_that_works(cls, secret: SecretStr) -> SecretStr:
        url = secret.get_secret_value()
        scheme, _, rest = url.partition("://")
        if scheme == "sqlite":
            if not rest.startswith("/") or rest.strip("/").partition("?")[0] in ("", ":memory:"):
                raise ValueError(
                    "must name a file: sqlite:///tracker.db (a database in memory would lose callbacks)"
                )
            return secret
        if scheme not in ("postgresql", "postgresql+psycopg", "postgres"):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            raise ValueError("must be postgresql://user:password@host:port/name") from None
        if parts.netloc.count("@") > 1 or parts.fragment:
            raise ValueError(
                "must have special characters percent-encoded in its password (@ is %40, # is %23)"
            )
        return secret


class ServerSettings(Section):
    """The HTTP server: what it listens on, and how the world reaches it."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="The address to listen on; `0.0.0.0` for all of them."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    public_url: OptionalText = Field(
        default=None,
        description="The address under which the provider reaches this server, as it is told to the provider; a path "
        "prefix is allowed.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=("127.0.0.1",),
        description="Addresses and networks whose `X-Forwarded-*` headers are believed.",
    )
    api_token: OptionalSecret = Field(
        default=None,
        description="An administrator's bearer token for `/api/v1`, at least 16 characters. Without one the API is "
        "closed.",
    )

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = http_url(value)
        if parts.query or parts.fragment or parts.username:
            raise ValueError("must be an http:// or https:// URL without user name, query and fragment")
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _trusted_proxies(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            try:
                ipaddress.ip_network(value)
            except ValueError:
                raise ValueError(
                    'must be IP addresses or networks, such as "127.0.0.1" or "10.0.0.0/8"'
                ) from None
        return values

    @field_validator("api_token")
    @classmethod
    def _api_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value and (len(value.get_secret_value()) < 16 or re.search(r"\s", value.get_secret_value())):
            raise ValueError("must have at least 16 characters and no spaces")
        return value


class RetentionSettings(Section):
    """How long what is over is kept. Without this section: for ever."""

    keep: OptionalAge = Field(
        default=None,
        description="A number of days or weeks, such as `400d` or `52w`, at least `7d`. The worker removes calls that "
        "are settled and have not changed for so long, with all their evidence, and callbacks that belong to no call "
        "and were received before; little by little, and never what is open. `tracker db prune --dry-run` says what "
        "that would be.",
    )


class Settings(Section):
    """The whole configuration, checked. Made by `load_settings`."""

    database: DatabaseSettings = Field(
        default_factory=DatabaseSettings, description="Where everything is kept."
    )
    server: ServerSettings = Field(default_factory=ServerSettings, description="The HTTP server.")
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="How long what is over is kept."
    )
    accounts: dict[str, AccountSettings] = Field(
        default_factory=dict,
        description="One table for every set of credentials. Names are `a-z`, `0-9` and `_`, without `__`.",
    )

    _config_file: Path | None = PrivateAttr(None)
    _misnamed: tuple[str, ...] = PrivateAttr(())

    @field_validator("accounts")
    @classmethod
    def _names(cls, accounts: dict[str, AccountSettings]) -> dict[str, AccountSettings]:
        if not all(ACCOUNT_NAME.fullmatch(name) for name in accounts):
            raise ValueError("must have names of a-z, 0-9 and _, without __")
        return accounts

    @property
    def config_file(self) -> Path | None:
        """The file that was read; None where there was none."""
        return self._config_file

    @property
    def database_url(self) -> str:
        """The database's URL as plain text, with its password."""
        return self.database.url.get_secret_value()

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of SQLite's."""
        return self.database_url.startswith("sqlite:")

    @property
    def database_place(self) -> str:
        """Where the database is, for people: SQLite's file with its whole path, or the URL with its password masked."""
        if self.is_sqlite:
            return str(Path(self.database_url.removeprefix("sqlite:///").partition("?")[0]).absolute())
        return mask_url_password(self.database_url)

    def no_file(self) -> str:
        """That no file was read, and where it was looked for."""
        return f"no configuration was found (no tracker.toml in {Path.cwd()}, TRACKER_CONFIG is not set)"

    @property
    def names_database(self) -> bool:
        """Whether anything says which database is meant: a file that was read, or the environment."""
        return self.config_file is not None or "url" in self.database.model_fields_set

    @property
    def api_token(self) -> str | None:
        """The administrator's token as plain text; None: the API is closed."""
        return self.server.api_token.get_secret_value() if self.server.api_token else None

    def account_values(self) -> dict[str, Account]:
        """The accounts as the plain values that the rest of the program is handed, by name."""
        return {name: account.value(name) for name, account in self.accounts.items()}

    def secrets(self) -> tuple[str, ...]:
        """Every configured secret as plain text, for removing it from logs and from what is stored."""
        found = [self.api_token or "", *_url_passwords(self.database_url)]
        for account in self.account_values().values():
            found += [*account.secrets, *_url_passwords(account.proxy or "")]
        return tuple(dict.fromkeys(secret for secret in found if secret))

    def require_receivable(self) -> None:
        """Raises ConfigurationError if an account's callbacks could come from anybody without anyone having said so.

        For the server only: placing a call and asking about it needs nothing but an access token.
        """
        problems = [
            f"accounts.{name}.webhook_secrets is empty, so nobody could tell the provider's callbacks from a "
            f"stranger's: set it to the secret of the provider's webhook, or say accounts.{name}.allow_unsigned = true"
            for name, account in self.accounts.items()
            if not account.webhook_secrets and not account.allow_unsigned
        ]
        if problems:
            raise ConfigurationError("\n".join(problems))

    def listening(self, *, host: str | None, port: int | None) -> Settings:
        """These settings with another address to listen on, where one is given."""
        given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
        changed = self.model_copy(update={"server": self.server.model_copy(update=given)})
        changed._config_file, changed._misnamed = self._config_file, self._misnamed
        return changed

    def require_accounts(self) -> None:
        """Raises ConfigurationError if no account is configured, so that no call can be placed and none reported."""
        if self.accounts:
            return
        if self.config_file is None:
            missing = self.no_file()
            raise ConfigurationError(
                f"{missing[0].upper()}{missing[1:]}: run `tracker init`, or go to the directory of your tracker.toml"
            )
        raise ConfigurationError(
            f"{self.config_file.absolute()} configures no account: add [accounts.thundersms] to it, or let "
            "`tracker init` write another file"
        )

    @property
    def misnamed(self) -> tuple[str, ...]:
        """A sentence for each variable of the environment that is ignored and was probably meant as a setting."""
        return self._misnamed

    def lacks(self) -> list[str]:
        """What does not work of the accounts, one sentence each, while callbacks can be taken."""
        return [
            f"accounts.{name}.{lack}" for name, account in self.accounts.items() for lack in account.lacks()
        ]

    def warnings(self) -> list[str]:
        """What works but is probably not meant, one sentence each; for the log at start-up and for `tracker doctor`."""
        found = [*self._misnamed]
        if not self.accounts:
            found.append("no account is configured: nothing can be placed and every callback is refused")
        if self.server.public_url and is_plain_http(self.server.public_url):
            found.append(
                "server.public_url is plain http: callbacks and their secrets can be read on the way"
            )
        for name, account in self.accounts.items():
            found += [f"accounts.{name}.{warning}" for warning in account.warnings()]
        return found

    def summary(self) -> dict[str, object]:
        """Every setting by its dotted name with its value as plain JSON, secrets masked; for the log at start-up."""
        return dict(_summarise(self, ""))


def _summarise(section: BaseModel, prefix: str) -> Iterator[tuple[str, object]]:
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if isinstance(value, Section):
            yield from _summarise(value, f"{prefix}{key}.")
        elif value and isinstance(value, dict) and all(isinstance(v, Section) for v in value.values()):
            for name, inner in value.items():
                yield from _summarise(inner, f"{prefix}{key}.{name}.")
        else:
            yield prefix + key, _shown(value, any(isinstance(m, MaskPassword) for m in field.metadata))


def _shown(value: Any, mask_password: bool) -> object:
    if mask_password and value is not None:
        return mask_url_password(value.get_secret_value() if isinstance(value, SecretStr) else str(value))
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple | list | frozenset):
        return [_shown(v, False) for v in value]
    if isinstance(value, dict):
        return {k: _shown(v, False) for k, v in value.items()}
    if isinstance(value, timedelta):
        return age_text(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _url_passwords(url: str) -> Iterator[str]:
    """A URL's password as written and as meant, unless it is a word that the rest of the URL (or any log) has too."""
    parts = urlsplit(url)
    common = {parts.username, parts.hostname, parts.path.strip("/"), "postgres", "tracker", "password"}
    if parts.password and unquote(parts.password) not in common:
        yield parts.password
        yield unquote(parts.password)
