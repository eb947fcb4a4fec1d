"""Lists the providers by the names that the configuration uses."""

from __future__ import annotations

from tracker.errors import ConfigurationError
from tracker.providers.base import Provider
from tracker.providers.thundersms import ThunderSMS

PROVIDERS: dict[str, Provider] = {"thundersms": ThunderSMS()}


def get_provider(name: str) -> Provider:
    """Return the provider of that name. Raises ConfigurationError if there is none."""
    try:
        return PROVIDERS[name]
    except KeyError:
        raise ConfigurationError(
            f"There is no provider {name!r}. Set `provider` of the account to one of: {', '.join(sorted(PROVIDERS))}."
        ) from None
