"""Declares the tables of the configuration: each field once, with its default and its help."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator

from tracker.domain.accounts import Account
from tracker.errors import ConfigurationError
from tracker.logs.redaction import mask_url_password
from tracker.settings.account import AccountSettings
from tracker.settings.field_types import (
    MaskPassword,
    OptionalRetention,
    OptionalSecret,
    OptionalText,
    Section,
    http_url,
    is_plain_http,
)

ACCOUNT_NAME = re.compile(r"(?!.*__)[a-z0-9_]+")


class DatabaseSettings(Section):
    """Where calls, callbacks and events are kept."""

    url: Annotated[SecretStr, MaskPassword()] = Field(
        default=SecretStr("sqlite:///tracker.db"),
        description="`sqlite:///` and a path, or `postgresql://user:password@host/name`. The path is relative to the "
        "working directory; a fourth slash makes it absolute, as `tracker init` writes it. Special characters in a "
        "password are percent-encoded: `@` is `%40`.",
    )

    @field_validator("url")
    @classmethod
    def _url(cls, secret: SecretStr) -> SecretStr:
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
    """The HTTP server: what it listens on, and how the provider reaches it."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="The address to listen on; `0.0.0.0` for all of them."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    public_url: OptionalText = Field(
        default=None,
        description="The address by which the provider reaches this server. A path prefix is allowed.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=("127.0.0.1",),
        description="Addresses and networks of proxies whose `X-Forwarded-*` headers are trusted.",
    )
    api_token: OptionalSecret = Field(
        default=None,
        description="The administrator's bearer token for `/api/v1`, at least 16 characters. Without one the API "
        "rejects every request.",
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
    """How long closed calls are kept. Without this section they are kept for ever."""

    keep: OptionalRetention = Field(
        default=None,
        description="A number of days or weeks, such as `400d` or `52w`, at least `7d`. The worker removes calls that "
        "are settled and have not changed for that long, with all their evidence, and older callbacks that belong to "
        "no call. It removes a few at a time, and never an open call. `tracker db prune --dry-run` shows what it "
        "would remove.",
    )


class ConfigTables(Section):
    """Every table that a configuration may have."""

    database: DatabaseSettings = Field(
        default_factory=DatabaseSettings, description="Where everything is kept."
    )
    server: ServerSettings = Field(default_factory=ServerSettings, description="The HTTP server.")
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="How long closed calls are kept."
    )
    accounts: dict[str, AccountSettings] = Field(
        default_factory=dict,
        description="One table for each set of credentials. Names are `a-z`, `0-9` and `_`, without `__`.",
    )

    @field_validator("accounts")
    @classmethod
    def _names(cls, accounts: dict[str, AccountSettings]) -> dict[str, AccountSettings]:
        if not all(ACCOUNT_NAME.fullmatch(name) for name in accounts):
            raise ValueError("must have names of a-z, 0-9 and _, without __")
        return accounts


class Settings(ConfigTables):
    """The whole configuration, checked. `load_settings` makes it."""

    #: the file that was read
    config_file: Path | None = Field(default=None, exclude=True)
    #: a sentence for each environment variable that is ignored and was probably meant as a setting
    ignored_variables: tuple[str, ...] = Field(default=(), exclude=True)

    @property
    def database_url(self) -> str:
        """The URL of the database as plain text, with its password."""
        return self.database.url.get_secret_value()

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is an SQLite file."""
        return self.database_url.startswith("sqlite:")

    @property
    def database_location(self) -> str:
        """The database for people: the absolute path of an SQLite file, or the URL with its password masked."""
        if self.is_sqlite:
            return str(Path(self.database_url.removeprefix("sqlite:///").partition("?")[0]).absolute())
        return mask_url_password(self.database_url)

    @property
    def is_database_named(self) -> bool:
        """Whether the configuration says which database is meant, by a file or by the environment."""
        return self.config_file is not None or "url" in self.database.model_fields_set

    @property
    def api_token(self) -> str | None:
        """The administrator's token as plain text. None closes the API."""
        return self.server.api_token.get_secret_value() if self.server.api_token else None

    def account_values(self) -> dict[str, Account]:
        """Return the accounts by name, as the rest of the program takes them."""
        return {name: account.to_account(name) for name, account in self.accounts.items()}

    def secrets(self) -> tuple[str, ...]:
        """Return every configured secret as plain text, to be masked in logs and in what is stored."""
        found = [self.api_token or "", *_url_passwords(self.database_url)]
        for account in self.account_values().values():
            found += [*account.secrets, *_url_passwords(account.proxy or "")]
        return tuple(dict.fromkeys(secret for secret in found if secret))

    def with_address(self, *, host: str | None, port: int | None) -> Settings:
        """Return these settings with another address to listen on; None keeps the configured part."""
        address = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
        return self.model_copy(update={"server": self.server.model_copy(update=address)})

    def no_file_phrase(self) -> str:
        """Return that no file was read, and where it was looked for."""
        return f"no configuration was found (no tracker.toml in {Path.cwd()}, TRACKER_CONFIG is not set)"

    def require_accounts(self) -> None:
        """Raise ConfigurationError if no account is configured, because then no call can be placed or reported."""
        if self.accounts:
            return
        if self.config_file is None:
            phrase = self.no_file_phrase()
            raise ConfigurationError(
                f"{phrase[0].upper()}{phrase[1:]}: run `tracker init`, or go to the directory of your tracker.toml"
            )
        raise ConfigurationError(
            f"{self.config_file.absolute()} configures no account: add [accounts.thundersms] to it, or let "
            "`tracker init` write another file"
        )

    def require_authenticated_callbacks(self) -> None:
        """Raise ConfigurationError if an account has no webhook secret and does not allow that.

        Only the server needs one: placing a call and asking about it takes no more than an access token.
        """
        problems = [
            f"accounts.{name}.webhook_secrets is empty, so a stranger's callbacks look like the provider's: set it to "
            f"the secret of the provider's webhook, or set accounts.{name}.allow_unsigned = true"
            for name, account in self.accounts.items()
            if not account.webhook_secrets and not account.allow_unsigned
        ]
        if problems:
            raise ConfigurationError("\n".join(problems))

    def limitations(self) -> list[str]:
        """Return a sentence for each thing that an account cannot do, while it can receive callbacks."""
        return [
            f"accounts.{name}.{limitation}"
            for name, account in self.accounts.items()
            for limitation in account.limitations()
        ]

    def warnings(self) -> list[str]:
        """Return a sentence for each setting that works but is probably not meant."""
        found = [*self.ignored_variables]
        if not self.accounts:
            found.append("no account is configured: nothing can be placed and every callback is refused")
        if self.server.public_url and is_plain_http(self.server.public_url):
            found.append(
                "server.public_url is plain http: callbacks and their secrets can be read on the way"
            )
        for name, account in self.accounts.items():
            found += [f"accounts.{name}.{warning}" for warning in account.warnings()]
        return found


def _url_passwords(url: str) -> Iterator[str]:
    """Return the password of a URL, as written and decoded.

    A password that the rest of the URL or any log may contain is left out, because masking it would tear holes.
    """
    parts = urlsplit(url)
    common = {parts.username, parts.hostname, parts.path.strip("/"), "postgres", "tracker", "password"}
    if parts.password and unquote(parts.password) not in common:
        yield parts.password
        yield unquote(parts.password)
