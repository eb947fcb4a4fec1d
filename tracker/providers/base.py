"""What every provider can do. One file per provider knows its wire format, both directions.

A provider builds requests and reads replies; it sends nothing by itself (`transport` does) and stores nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tracker.domain import value
from tracker.domain.accounts import Account
from tracker.domain.call_reports import (
    CallReport,
    NotACall,
    StatusResult,
    SubmitResult,
    UnreadableCallback,
    WebhookChallenge,
)
from tracker.domain.calls import SubmitCommand

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request to the provider, ready to be sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """The provider's answer as it came. `body` may be cut short: then `body_error` says how."""

    status: int
    headers: Headers
    body: bytes
    body_error: str | None = None

    def header(self, name: str) -> str | None:
        """The first header of that name (any case), decoded as latin-1."""
        wanted = name.lower().encode()
        return next((v.decode("latin-1") for k, v in self.headers if k.lower() == wanted), None)


@dataclass(frozen=True, kw_only=True)
class ExchangeFailure:
    """No reply. `never_left` is true only where no byte of the request can have reached the provider."""

    never_left: bool
    #: the class of what went wrong and its text, without secrets
    message: str


@value
class CallbackRequest:
    """A callback as it was stored."""

    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: bytes


class Provider(Protocol):
    """One provider's wire format."""

    def submit_request(self, account: Account, dial: SubmitCommand) -> HttpRequest:
        """The request that submits this dial."""
        ...

    def redacted_request(self, account: Account, dial: SubmitCommand) -> HttpRequest:
        """The same request as evidence: without credentials, secret variables replaced by `***`."""
        ...

    def parse_submit_response(self, account: Account, result: HttpResponse | ExchangeFailure) -> SubmitResult:
        """What came back from a submission. Never raises."""
        ...

    def status_request(self, account: Account, submission_id: str) -> HttpRequest:
        """The request that asks what became of a submission."""
        ...

    def parse_status_response(
        self, account: Account, submission_id: str, reply: HttpResponse
    ) -> StatusResult:
        """What the provider says of it; raises ProviderError where the reply is no answer to the question."""
        ...

    def credentials_request(self, account: Account) -> HttpRequest:
        """The request that checks the credentials."""
        ...

    def parse_credentials_response(self, account: Account, reply: HttpResponse) -> str:
        """One sentence about whose credentials these are; raises ProviderRefused or ProviderError."""
        ...

    def presented_secrets(self, incoming_headers: Headers) -> tuple[bytes, ...]:
        """What the headers of a callback present as its secret; none, one or several."""
        ...

    def parse_webhook_challenge(self, incoming: CallbackRequest) -> WebhookChallenge | None:
        """The webhook's verification, where this request is one. Never raises."""
        ...

    def parse_callback(
        self, account: Account, incoming: CallbackRequest
    ) -> CallReport | NotACall | UnreadableCallback:
        """What a callback says. Never raises."""
        ...
