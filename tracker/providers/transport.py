"""One request to a provider, over a connection of its own, and what is certain about it afterwards.

The question that decides whether a phone may ring twice: can a byte of this request have reached the provider?
It is answered by watching the connection, not by the class of the exception. Until the moment before the
request's first byte is written nothing has left, whatever went wrong. Through a proxy, the `CONNECT` of a tunnel
is not the request, so a proxy that refuses, closes or stays silent there is *never left* too. Where an http://
address goes through a proxy there is no tunnel: the proxy has the request as soon as it is written, and its own
502 looks like an answer of the provider (and is read as one: unclear).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import httpx

from tracker.logs.redaction import SecretMasker
from tracker.providers.base import ExchangeFailure, HttpRequest, HttpResponse

MAX_BODY_BYTES = 1024 * 1024

#: Beside its own exceptions: UnicodeError (a ValueError) for hosts and headers, RuntimeError for a closed client,
#: ExceptionGroup for a port beyond 65535, ImportError for a kind of proxy whose library is not installed.
_HTTPX_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    ValueError,
    RuntimeError,
    OSError,
    ImportError,
    ExceptionGroup,
)

#: Their texts quote what could not be sent: a header, an address, a character of the token.
_ERRORS_QUOTING_INPUT = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError)


class _LeaseExpired(Exception):
    """`before_write` said no."""


async def exchange(
    request: HttpRequest,
    *,
    timeout_s: float,
    proxy: str | None = None,
    before_write: Callable[[], bool] | None = None,
    max_body: int = MAX_BODY_BYTES,
) -> HttpResponse | ExchangeFailure:
    """Send one request and take its answer; `timeout_s` bounds the whole, from connecting to the last byte.

    `before_write` is called in the moment before the first byte of the request is written; when it returns
    False, nothing is written and the result is an ExchangeFailure that never left. Redirects are not followed, no proxy
    is taken from the environment. A reply whose body is cut short, is larger than `max_body` bytes, or does not
    decode keeps its status and says so in `body_error`. Raises nothing that the network or the address can cause.
    """
    progress = _ConnectionWatch(before_write)
    reply = _PartialResponse(max_body)
    tls = await asyncio.to_thread(_tls_context)
    try:
        async with asyncio.timeout(timeout_s):
            async with _build_client(proxy, tls) as client:
                sent = client.stream(
                    request.method,
                    request.url,
                    headers=_complete_headers(request.headers),
                    content=request.body,
                    extensions={"trace": progress.trace},
                )
                async with sent as response:
                    await reply.take(response)
    except _LeaseExpired:
        return ExchangeFailure(never_left=True, message="the lease was over before the request was written")
    except TimeoutError:
        where = "connection" if not progress.writing else "complete answer"
        return reply.with_body_error(f"no {where} within {timeout_s:g} s") or ExchangeFailure(
            never_left=progress.never_left(None), message=f"TimeoutError: no {where} within {timeout_s:g} s"
        )
    except _HTTPX_ERRORS as exc:
        message = _describe_error(exc, request, proxy)
        return reply.with_body_error(message) or ExchangeFailure(
            never_left=progress.never_left(exc), message=message
        )
    finally:
        await progress.close()
    return reply.whole()


class _ConnectionWatch:
    """How far the request has come, told by httpcore's trace events."""

    def __init__(self, before_write: Callable[[], bool] | None) -> None:
        self._before_write = before_write
        self.writing = False
        self._headers_left = False
        self._connection: Any = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        name = event.partition(".")[2]
        if name == "connect_tcp.complete":
            self._connection = info["return_value"]
        elif name == "send_request_headers.started" and info["request"].method != b"CONNECT":
            if self._before_write is not None and not self._before_write():
                raise _LeaseExpired
            self.writing = True
        elif name == "send_request_headers.complete" and self.writing:
            self._headers_left = True

    async def close(self) -> None:
        """httpcore forgets to close a connection whose TLS handshake is cancelled; closing twice is harmless."""
        if self._connection is not None:
            await self._connection.aclose()

    def never_left(self, exc: Exception | None) -> bool:
        # h11 refuses a malformed request inside the step that would have written it.
        return not self.writing or (isinstance(exc, httpx.LocalProtocolError) and not self._headers_left)


class _PartialResponse:
    """The reply while it arrives: the status is kept whatever happens to the body."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._status: int | None = None
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        self._body = bytearray()
        self._complete = False
        self._broken: str | None = None

    async def take(self, response: httpx.Response) -> None:
        self._status = response.status_code
        self._headers = tuple(response.headers.raw)
        async for chunk in response.aiter_bytes():
            room = self._max_body - len(self._body)
            self._body += chunk[:room]
            if len(chunk) > room:
                self._broken = f"the body is larger than {self._max_body} bytes"
                break
        self._complete = True

    def whole(self) -> HttpResponse:
        assert self._status is not None
        return HttpResponse(
            status=self._status, headers=self._headers, body=bytes(self._body), body_error=self._broken
        )

    def with_body_error(self, message: str) -> HttpResponse | None:
        """The reply with what came of it; None where not even the status came."""
        if self._status is None:
            return None
        if not self._complete:
            self._broken = message
        return self.whole()


def _build_client(proxy: str | None, tls: ssl.SSLContext) -> httpx.AsyncClient:
    over_tls = proxy is not None and proxy.lower().startswith("https:")
    return httpx.AsyncClient(
        verify=tls,
        proxy=httpx.Proxy(proxy, ssl_context=tls if over_tls else None) if proxy else None,
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113 - the whole exchange has one limit of its own
    )


@cache
def _tls_context() -> ssl.SSLContext:
    """Built once, at the first request: reading the certificate authorities takes some 60 ms."""
    return httpx.create_ssl_context(trust_env=False)


def _complete_headers(given: Mapping[str, str]) -> dict[str, str]:
    # Uncompressed, for a small body may unfold to a huge one before its size can be looked at.
    return {"Accept-Encoding": "identity", "Connection": "close", **given}


def _describe_error(exc: Exception, request: HttpRequest, proxy: str | None) -> str:
    """The class of what went wrong and, where it cannot hold a secret, its text."""
    kind = type(exc).__name__
    if isinstance(exc, _ERRORS_QUOTING_INPUT):
        return f"{kind}: the address, the proxy or a header cannot be used as it is configured"
    text = SecretMasker(_secrets_of(request, proxy)).mask_text(str(exc))
    return f"{kind}: {text}"[:300] if text else kind


def _secrets_of(request: HttpRequest, proxy: str | None) -> list[str]:
    values = [v for k, v in request.headers.items() if k.lower() == "authorization"]
    found = [*values, *(v.partition(" ")[2] for v in values)]
    if proxy and "@" in proxy:
        found.append(proxy.rpartition("@")[0].rpartition("/")[2])
        found.append(found[-1].partition(":")[2])
    return [s for s in found if s]
