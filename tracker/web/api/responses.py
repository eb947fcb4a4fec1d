"""Reads from the database for a request, and writes JSON responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from starlette.responses import Response

from tracker.store.engine.database import Connection
from tracker.store.read.cursors import Page
from tracker.web.api.documents import Document, to_json
from tracker.web.state import AppRequest

T = TypeVar("T")

#: the header of a response to a request whose Idempotency-Key was seen before
REPLAYED: Final = {"Idempotency-Replayed": "true"}


async def read_database(request: AppRequest, read: Callable[[Connection], T]) -> T:
    """Return what `read` returns for a connection, in a thread of its own."""
    return await asyncio.to_thread(request.state["program"].database.read_autocommit, read)


def json_response(
    document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a document as a response."""
    return Response(to_json(document), status, media_type="application/json", headers=headers)


def page_response(page: Page[T], shape: Callable[[T], Document]) -> Response:
    """Return a page of a list as a response. shape: returns the document of a row."""
    return json_response({"data": [shape(row) for row in page.data], "next_cursor": page.next_cursor})
