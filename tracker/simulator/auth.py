"""Who may use the simulated API: whoever has the token. Others meet what the real provider shows them."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tracker.simulator.thundersms import responses
from tracker.simulator.thundersms.call_routes import respond
from tracker.simulator.thundersms.vocabulary import Generation

_LOGIN = """<!doctype html><html lang="en"><head><title>Login</title></head>
<body><h1>Login</h1><p>This is the login page of a simulated provider.</p></body></html>"""


class TokenGuard:
    """Lets requests with `Authorization: Bearer <token>` or `?access_token=` through.

    Any other is answered 401 in JSON if it accepts JSON, else redirected to an HTML page with status 200.
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
            answer = respond(responses.error(self._generation, 401, "Unauthenticated."))
        await answer(scope, receive, send)


def login_route() -> Route:
    """The page on which clients with a bad token end: HTML, and status 200 all the same."""

    async def login(request: Request) -> Response:
        return HTMLResponse(_LOGIN)

    return Route("/login", login, methods=["GET", "POST"])
