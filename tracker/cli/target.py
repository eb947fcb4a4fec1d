"""The database that is copied to: what is wrong with it is said of it, and not of the configured one."""

from __future__ import annotations

from tracker.cli.context import LocatedAlready
from tracker.cli.remedies import remedy
from tracker.logs.redaction import mask_url_password
from tracker.store.engine.database import Database


class Target(Database):
    """The database of `--to`. Raises LocatedAlready where it cannot be used, ConfigurationError for what is no URL."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        #: where it is, for people: SQLite's file with its whole path, or the URL with its password masked
        self.place = str(self.path.absolute()) if self.path is not None else mask_url_password(url)

    def unavailable(self, told: str, why: Exception) -> LocatedAlready:
        """Said of the target."""
        todo = remedy(why, self.path, named="--to")
        hint = f"; {todo}" if todo else ""
        return LocatedAlready(f"The copy: {told[0].lower()}{told[1:]}. Target (--to): {self.place}{hint}")
