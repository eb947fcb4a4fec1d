"""Lets requests with the access token through. All others get what the real provider answers them."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tracker.simulator.thundersms import responses
from tracker.simulator.thundersms.vocabulary import Generation

_LOGIN_PAGE = """<!doctype html><html lang="en"><head><title>Login</title></head>
<body><h1>Login</h1><p>This is the login page of a simulated provider.</p></body></html>"""


class TokenGuard:
    """ASGI middleware that lets requests with `Authorization: Bearer <token>` or `?access_token=` through.

    Any other request is answered 401 in JSON if it accepts JSON, otherwise redirected to an HTML page with status 200.
    """

    def __init__(self, app: ASGIApp, *, token: str, generation: Generation) -> None:
        self._app = app
        self._token = token
        self._generation = generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            presented = request.query_params.get("access_token", "")
        if secrets.compare_digest(presented.strip().encode(), self._token.encode()):
            await self._app(scope, receive, send)
            return
        answer: Response = RedirectResponse("/login", status_code=302)
        if "application/json" in request.headers.get("accept", ""):
            answer = responses.error(self._generation, 401, "Unauthenticated.").to_response()
        await answer(scope, receive, send)


def login_route() -> Route:
    """Return the route of the page on which clients with a bad token end: HTML, with status 200 all the same."""

    async def login(request: Request) -> Response:
        return HTMLResponse(_LOGIN_PAGE)

    return Route("/login", login, methods=["GET", "POST"])
