"""The configuration: declared once, read from `tracker.toml` and the environment, checked as a whole.

- `schema.py`, `account.py`: every field with its default and its help; what a value may be.
- `sources.py`: what was written where, in the file and in the environment, and which keys nobody knows.
- `loading.py`: the two together; every problem named at once.
- `reference.py`: docs/reference/configuration.md, from the declarations.

Only the edges (`cli`, `worker`, `web`) import this; everything below them is handed plain values.
"""

from tracker.settings.account import AccountSettings
from tracker.settings.loader import load_settings
from tracker.settings.schema import DatabaseSettings, RetentionSettings, ServerSettings, Settings

__all__ = [
    "AccountSettings",
    "DatabaseSettings",
    "RetentionSettings",
    "ServerSettings",
    "Settings",
    "load_settings",
]
