"""The configuration: declared once, read from `tracker.toml` and the environment, checked as a whole.

- `schema.py`, `account.py`, `field_types.py`: every field with its default, its help and the values that it may have.
- `declarations.py`: what the schema declares at a key.
- `loader.py`: reads the file and the environment, and names every problem at once.
- `summary.py`: the settings as the log shows them.
- `reference.py`: writes docs/reference/configuration.md.

Only the edges (`cli`, `worker`, `web`) import this package. Everything below them takes plain values.
"""

from tracker.settings.account import AccountSettings
from tracker.settings.loader import load_settings
from tracker.settings.schema import DatabaseSettings, RetentionSettings, ServerSettings, Settings
from tracker.settings.summary import summarise_settings

__all__ = [
    "AccountSettings",
    "DatabaseSettings",
    "RetentionSettings",
    "ServerSettings",
    "Settings",
    "load_settings",
    "summarise_settings",
]
