"""Sends one request to a provider over a connection of its own, and reports whether it can have arrived.

One question decides whether a phone may ring twice: can a byte of this request have reached the provider? The answer
is read from the connection and not from the class of the exception. Before the first byte of the request is written
nothing has left, whatever goes wrong.

Through a proxy, the `CONNECT` of a tunnel is not the request. So a request never left if the proxy refuses, closes or
stays silent there. An http:// address has no tunnel: the proxy has the request as soon as it is written. A 502 of the
proxy then looks like a response of the provider and is read as one (unclear).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import httpx

from tracker.logs.redaction import SecretMasker
from tracker.providers.base import ExchangeFailure, HttpRequest, HttpResponse

MAX_BODY_BYTES: Final = 1024 * 1024

#: httpx raises more than its own classes: UnicodeError (a ValueError) for hosts and headers, RuntimeError for a closed
#: client, ExceptionGroup for a port beyond 65535, ImportError if the library for a kind of proxy is not installed.
_HTTPX_ERRORS: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    ValueError,
    RuntimeError,
    OSError,
    ImportError,
    ExceptionGroup,
)

#: Their texts quote the input that could not be sent: a header, an address, a character of the token.
_ERRORS_QUOTING_INPUT: Final = (
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    ValueError,
)


class _LeaseExpired(Exception):
    """`before_write` returned False."""


async def exchange(
    request: HttpRequest,
    *,
    timeout_s: float,
    proxy: str | None = None,
    before_write: Callable[[], bool] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> HttpResponse | ExchangeFailure:
    """Send one request and return its response. Raises nothing that the network or the address can cause.

    `timeout_s` bounds the whole exchange, from connecting to the last byte. `before_write` is called immediately before
    the first byte of the request is written. If it returns False, nothing is written and the failure never left.
    Redirects are not followed, and no proxy is taken from the environment. A response keeps its status, and has a
    `body_error`, if its body breaks off, is larger than `max_body_bytes`, or does not decode.
    """
    watch = _ConnectionWatch(before_write)
    received = _PartialResponse(max_body_bytes)
    tls = await asyncio.to_thread(_tls_context)
    try:
        async with asyncio.timeout(timeout_s):
            async with _build_client(proxy, tls) as client:
                stream = client.stream(
                    request.method,
                    request.url,
                    headers=_complete_headers(request.headers),
                    content=request.body,
                    extensions={"trace": watch.trace},
                )
                async with stream as response:
                    await received.read_from(response)
    except _LeaseExpired:
        return ExchangeFailure(never_left=True, message="the lease was over before the request was written")
    except TimeoutError:
        missing = "complete response" if watch.has_begun_writing else "connection"
        message = f"no {missing} within {timeout_s:g} s"
        return received.with_body_error(message) or ExchangeFailure(
            never_left=watch.has_never_left(None), message=f"TimeoutError: {message}"
        )
    except _HTTPX_ERRORS as error:
        message = _describe_error(error, request, proxy)
        return received.with_body_error(message) or ExchangeFailure(
            never_left=watch.has_never_left(error), message=message
        )
    finally:
        await watch.close()
    return received.to_response()


class _ConnectionWatch:
    """A watch on the progress of a request, fed by httpcore's trace events."""

    def __init__(self, before_write: Callable[[], bool] | None) -> None:
        self._before_write = before_write
        self.has_begun_writing = False
        self._has_written_headers = False
        self._connection: Any = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note one event. Raises _LeaseExpired if the request must not be written any more."""
        name = event.partition(".")[2]
        if name == "connect_tcp.complete":
            self._connection = info["return_value"]
        elif name == "send_request_headers.started" and info["request"].method != b"CONNECT":
            if self._before_write is not None and not self._before_write():
                raise _LeaseExpired
            self.has_begun_writing = True
        elif name == "send_request_headers.complete" and self.has_begun_writing:
            self._has_written_headers = True

    async def close(self) -> None:
        """Close the connection, because httpcore leaves it open if its TLS handshake is cancelled."""
        if self._connection is not None:
            await self._connection.aclose()

    def has_never_left(self, error: Exception | None) -> bool:
        """Return whether no byte of the request can have been written before this error."""
        # h11 refuses a malformed request inside the step that would have written it.
        return not self.has_begun_writing or (
            isinstance(error, httpx.LocalProtocolError) and not self._has_written_headers
        )


class _PartialResponse:
    """A response while it arrives. It keeps the status whatever happens to the body."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._status: int | None = None
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        self._body = bytearray()
        self._is_complete = False
        self._body_error: str | None = None

    async def read_from(self, response: httpx.Response) -> None:
        self._status = response.status_code
        self._headers = tuple(response.headers.raw)
        async for chunk in response.aiter_bytes():
            room = self._max_body_bytes - len(self._body)
            self._body += chunk[:room]
            if len(chunk) > room:
                self._body_error = f"the body is larger than {self._max_body_bytes} bytes"
                break
        self._is_complete = True

    def to_response(self) -> HttpResponse:
        assert self._status is not None
        return HttpResponse(
            status=self._status, headers=self._headers, body=bytes(self._body), body_error=self._body_error
        )

    def with_body_error(self, message: str) -> HttpResponse | None:
        """Return the response with this error of its body, or None if not even the status has come."""
        if self._status is None:
            return None
        if not self._is_complete:
            self._body_error = message
        return self.to_response()


def _build_client(proxy: str | None, tls: ssl.SSLContext) -> httpx.AsyncClient:
    is_tls_proxy = proxy is not None and proxy.lower().startswith("https:")
    return httpx.AsyncClient(
        verify=tls,
        proxy=httpx.Proxy(proxy, ssl_context=tls if is_tls_proxy else None) if proxy else None,
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113 - `exchange` bounds the whole exchange
    )


@cache
def _tls_context() -> ssl.SSLContext:
    """Return the TLS context, built at the first request: reading the certificate authorities takes some 60 ms."""
    return httpx.create_ssl_context(trust_env=False)


def _complete_headers(headers: Mapping[str, str]) -> dict[str, str]:
    # Uncompressed, because a small body can unpack to a huge one before its size can be checked.
    return {"Accept-Encoding": "identity", "Connection": "close", **headers}


def _describe_error(error: Exception, request: HttpRequest, proxy: str | None) -> str:
    """Return the class of the error and, unless it can quote a secret, its text."""
    name = type(error).__name__
    if isinstance(error, _ERRORS_QUOTING_INPUT):
        return f"{name}: the address, the proxy or a header cannot be used as it is configured"
    text = SecretMasker(_secrets_of(request, proxy)).mask_text(str(error))
    return f"{name}: {text}"[:300] if text else name


def _secrets_of(request: HttpRequest, proxy: str | None) -> list[str]:
    """Return the credentials in the request's headers and in the URL of the proxy."""
    headers = [v for k, v in request.headers.items() if k.lower() == "authorization"]
    secrets = [*headers, *(v.partition(" ")[2] for v in headers)]
    if proxy and "@" in proxy:
        user_and_password = proxy.rpartition("@")[0].rpartition("/")[2]
        secrets += [user_and_password, user_and_password.partition(":")[2]]
    return secrets
