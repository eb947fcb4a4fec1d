"""Defines the errors that tracker raises on purpose.

::

    TrackerError                    the root; its text is a sentence for the user that says what to do
    ├── ConfigurationError          tracker.toml or the environment is wrong
    ├── InvalidInput                some fields are not well formed; names every wrong field
    │   └── AccountIncomplete       well formed, but the account's configuration lacks what the request needs
    ├── NotFound                    no call, submission or callback has this id
    ├── Conflict                    well formed, but not possible in the present state
    │   ├── IdempotencyConflict     the Idempotency-Key stands for another request
    │   └── NumberMismatch          the callback is about another phone number than the call
    ├── StorageUnavailable          the database cannot be written now; a later try may succeed
    │   └── InboxFull               the queue of callbacks to store is full
    ├── SchemaMismatch              this version cannot work with the database's schema
    └── ProviderError               the provider did not answer a poll
        └── ProviderRefused         the provider refused a poll, for example because of a wrong token

The docstring of each class is its default message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class TrackerError(Exception):
    """Something went wrong. See the log for details."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class ConfigurationError(TrackerError):
    """The configuration is wrong. Run `tracker doctor` to see where."""


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """A wrong field and what is wrong with it."""

    #: as the caller wrote it
    field: str
    #: says what is allowed
    message: str


class InvalidInput(TrackerError):
    """Some fields are not well formed. Correct the fields that `errors` names."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors) or None)


class AccountIncomplete(InvalidInput):
    """The account's configuration is incomplete. Run `tracker doctor` to see what is missing."""


class NotFound(TrackerError):
    """Nothing has this id. Check the id."""


class Conflict(TrackerError):
    """This is not possible in the present state of the call. Check the status of the call."""

    #: the name of the conflict for programs, if a client can resolve it
    reason: ClassVar[str | None] = None


class IdempotencyConflict(Conflict):
    """This Idempotency-Key was used for another request. Use a new key for each new request."""


class NumberMismatch(Conflict):
    """The callback is about another phone number than the call. Use `force` to join it nevertheless."""

    reason = "number-mismatch"


class StorageUnavailable(TrackerError):
    """The database cannot be written now. Try again in a moment."""


class InboxFull(StorageUnavailable):
    """The queue of callbacks to store is full. Try again in a moment."""


class SchemaMismatch(TrackerError):
    """The database's schema does not fit this version. Run `tracker db upgrade`."""


class ProviderError(TrackerError):
    """The provider did not answer the poll. Try again later."""


class ProviderRefused(ProviderError):
    """The provider refused the poll. Check the account's access token."""
