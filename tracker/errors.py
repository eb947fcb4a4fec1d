"""Everything that tracker raises on purpose.

::

    TrackerError                    anything below; str() is one sentence that says what to do
    ├── ConfigurationError          tracker.toml or the environment is wrong
    ├── InvalidInput                what was asked for is not well formed; names every wrong field
    │   └── AccountIncomplete          it is well formed, but the account's configuration lacks what it takes
    ├── NotFound                    no call, submission or callback with that id
    ├── Conflict                    well formed, but not possible in the present state
    │   ├── IdempotencyConflict     the same Idempotency-Key with another request
    │   ├── IncompleteCopy          the database is a copy that `tracker db copy` has not completed
    │   └── NumberMismatch          the callback is about another phone number than the call
    ├── StorageUnavailable          the database cannot take it now; trying again later may help
    │   └── InboxFull               more callbacks are waiting than the queue may hold
    ├── SchemaMismatch              the database has a schema that this version cannot work with
    └── ProviderError               a question to the provider was not answered
        └── ProviderRefused         the provider answered, and it was a refusal (bad token, ...)

The docstring of a class is its default message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class TrackerError(Exception):
    """Something went wrong; the log has the details."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class ConfigurationError(TrackerError):
    """The configuration is wrong; see `tracker doctor`."""


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One wrong field: its name as the caller wrote it, and one sentence that says what is allowed."""

    field: str
    message: str


class InvalidInput(TrackerError):
    """Some fields are not well formed; `errors` names each of them."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors) or None)


class AccountIncomplete(InvalidInput):
    """The account's configuration is not complete; see `tracker doctor`."""


class NotFound(TrackerError):
    """There is nothing with that id; check the id."""


class Conflict(TrackerError):
    """That is not possible in the present state of the call."""

    #: for programs: which conflict it is, where a client can do something about it
    reason: ClassVar[str | None] = None


class IdempotencyConflict(Conflict):
    """This Idempotency-Key was used for another request; use a new key for a new one."""


class IncompleteCopy(Conflict):
    """This database is a copy that is not complete: stop every process and run `tracker db copy` again, which completes
    it; to work in it as it is, say `tracker pause --resume --force` (then no more can be copied into it)."""


class NumberMismatch(Conflict):
    """The callback is about another phone number than the call."""

    reason = "number-mismatch"


class StorageUnavailable(TrackerError):
    """The database cannot be written now; try again in a moment."""


class InboxFull(StorageUnavailable):
    """More callbacks are waiting to be stored than the queue may hold; try again in a moment."""


class SchemaMismatch(TrackerError):
    """The database's schema does not fit this version; run `tracker db upgrade`."""


class ProviderError(TrackerError):
    """The provider did not answer the question; try again later."""


class ProviderRefused(ProviderError):
    """The provider refused the question; check the account's access token."""
