"""Finds out whether a provider answers to https or only to plain http, without showing the token."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import typer

from tracker.cli.program_name import with_program_name
from tracker.domain.accounts import Account
from tracker.providers.base import ExchangeFailure
from tracker.providers.registry import get_provider
from tracker.providers.transport import exchange
from tracker.settings.field_types import is_plain_http

#: seconds that the provider has to answer
_TIMEOUT_S: Final = 6.0


def find_answering_scheme(provider: str, base_url: str) -> str:
    """Return the base URL with the scheme that the provider answers to; https is tried first.

    If neither answers, https is kept, except for an address of this machine, where nobody can listen in between.
    """
    address = base_url.partition("://")[2]
    secure, plain = f"https://{address}", f"http://{address}"
    if _answers(provider, secure):
        return secure
    host = urlsplit(plain).netloc
    if _answers(provider, plain):
        typer.echo(f"{host} answers only to plain http, so that was written.", err=True)
        return plain
    kept = secure if is_plain_http(plain) else base_url
    scheme = urlsplit(kept).scheme
    warning = f"{host} does not answer now, so {scheme} was written untested. Try it with `tracker doctor`."
    typer.echo(with_program_name(warning), err=True)
    return kept


def _answers(provider: str, base_url: str) -> bool:
    request = get_provider(provider).credentials_request(Account(name="new", base_url=base_url))
    headers = {k: v for k, v in request.headers.items() if k.lower() != "authorization"}
    result = asyncio.run(exchange(replace(request, headers=headers), timeout_s=_TIMEOUT_S))
    if isinstance(result, ExchangeFailure) or result.status == 404 or result.status >= 500:
        return False
    redirects_to_http = (result.header("location") or "").lower().startswith("http://")
    return not (base_url.startswith("https:") and redirects_to_http)
