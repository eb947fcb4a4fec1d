"""(a): a bare Starlette endpoint that reads the body and answers 200, and stores nothing: the most that can be had."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def receive(request: Request) -> Response:
    await request.body()
    return Response(b'{"ok":true}', media_type="application/json")


app = Starlette(routes=[Route("/callbacks/thundersms", receive, methods=["POST"])])
