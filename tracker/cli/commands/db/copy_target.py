"""The database that `tracker db copy` copies to."""

from __future__ import annotations

from tracker.cli.context import LocatedStorageUnavailable
from tracker.logs.redaction import mask_url_password
from tracker.store.engine.database import Database
from tracker.store.engine.error_hints import error_hint


class Target(Database):
    """The database of `--to`. Its errors name it instead of the configured database.

    Raises ConfigurationError if the URL cannot be used, LocatedStorageUnavailable if the database cannot.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        #: its name for people: the absolute path of SQLite's file, or the URL with its password masked
        self.place = str(self.path.absolute()) if self.path is not None else mask_url_password(url)

    def unavailable(self, told: str, why: Exception) -> LocatedStorageUnavailable:
        """Return the error with the target's name and what to do."""
        hint = error_hint(why, self.path, setting="--to")
        problem = told.removesuffix(".")
        place = f"The copy: {problem[0].lower()}{problem[1:]}. Target (`--to`): {self.place}."
        return LocatedStorageUnavailable(f"{place} {hint}" if hint else place)
