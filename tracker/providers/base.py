"""Defines the interface of a provider, and the HTTP requests and responses that it builds and parses.

A provider neither sends nor stores anything: `transport` sends, and `lifecycle` stores.
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
    """The provider's response as it came."""

    status: int
    headers: Headers
    body: bytes
    #: the reason why `body` is incomplete; None if it is complete
    body_error: str | None = None

    def header(self, name: str) -> str | None:
        """Return the first header of that name (in any case), decoded as latin-1."""
        wanted = name.lower().encode()
        return next((v.decode("latin-1") for k, v in self.headers if k.lower() == wanted), None)


@dataclass(frozen=True, kw_only=True)
class ExchangeFailure:
    """A request to the provider that got no response."""

    #: True only if no byte of the request can have reached the provider
    never_left: bool
    #: the class of the error and its text, without secrets
    message: str


@value
class CallbackRequest:
    """A request of the provider to our webhook, as it was stored."""

    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: bytes


class Provider(Protocol):
    """The wire format of one provider, in both directions."""

    def submit_request(self, account: Account, command: SubmitCommand) -> HttpRequest:
        """Build the request that submits a call."""
        ...

    def redacted_request(self, account: Account, command: SubmitCommand) -> HttpRequest:
        """Build the same request as evidence, with credentials, secrets and secret variables masked."""
        ...

    def parse_submit_response(self, account: Account, result: HttpResponse | ExchangeFailure) -> SubmitResult:
        """Return the meaning of the result for the submission. Never raises."""
        ...

    def status_request(self, account: Account, submission_id: str) -> HttpRequest:
        """Build the request for the status of a submission. `submission_id` is the provider's id."""
        ...

    def parse_status_response(
        self, account: Account, submission_id: str, response: HttpResponse
    ) -> StatusResult:
        """Return the call records of the submission.

        Raises ProviderRefused if the credentials are refused, and ProviderError if the response holds no answer.
        """
        ...

    def credentials_request(self, account: Account) -> HttpRequest:
        """Build a request that only succeeds with valid credentials, and changes nothing."""
        ...

    def parse_credentials_response(self, account: Account, response: HttpResponse) -> str:
        """Return a sentence about the owner of the credentials.

        Raises ProviderRefused if the credentials are refused, and ProviderError if the response holds no answer.
        """
        ...

    def presented_secrets(self, headers: Headers) -> tuple[bytes, ...]:
        """Return the secrets that the headers of a callback present."""
        ...

    def parse_webhook_challenge(self, request: CallbackRequest) -> WebhookChallenge | None:
        """Return the challenge if the request verifies the webhook, otherwise None. Never raises."""
        ...

    def parse_callback(
        self, account: Account, request: CallbackRequest
    ) -> CallReport | NotACall | UnreadableCallback:
        """Return the contents of a callback. Never raises."""
        ...
