"""The providers by the names that the configuration uses."""

from __future__ import annotations

from tracker.errors import ConfigurationError
from tracker.providers.base import Provider
from tracker.providers.thundersms import ThunderSMS

PROVIDERS: dict[str, Provider] = {"thundersms": ThunderSMS()}


def get_provider(name: str) -> Provider:
    """The provider of that name. Raises ConfigurationError, which names those that there are."""
    try:
        return PROVIDERS[name]
    except KeyError:
        raise ConfigurationError(
            f"there is no provider {name!r}; an account's provider is one of: {', '.join(sorted(PROVIDERS))}"
        ) from None
