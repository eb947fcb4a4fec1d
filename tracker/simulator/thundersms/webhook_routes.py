"""The provider's routes for webhooks, with their handshake, and for subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.simulator.callback_sender import CallbackSender
from tracker.simulator.options import SimulatorOptions, Webhook, uri_problem
from tracker.simulator.requests import Invalid, Unreadable, fields
from tracker.simulator.state import CALL_EVENT, ProviderState, Subscription
from tracker.simulator.thundersms import responses
from tracker.simulator.thundersms.call_routes import respond

_EVENTS = (CALL_EVENT, "voice:unsubscription")
_PER_PAGE = 15


class Developer:
    """Webhooks and subscriptions of the simulated account."""

    def __init__(
        self,
        options: SimulatorOptions,
        world: ProviderState,
        postman: CallbackSender,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._options = options
        self._world = world
        self._postman = postman
        self._now = now

    def routes(self) -> list[Route]:
        """Relative to the prefix of the API."""
        return [
            Route("/developer/webhooks", self.list_webhooks, methods=["GET"]),
            Route("/developer/webhooks", self.create_webhook, methods=["POST"]),
            Route("/developer/webhooks/{id}", self.show_webhook, methods=["GET"]),
            Route("/developer/webhooks/{id}", self.change_webhook, methods=["PUT"]),
            Route("/developer/webhooks/{id}", self.delete_webhook, methods=["DELETE"]),
            Route("/developer/subscriptions", self.list_subscriptions, methods=["GET"]),
            Route("/developer/subscriptions", self.create_subscription, methods=["POST"]),
            Route("/developer/subscriptions/{id}", self.show_subscription, methods=["GET"]),
            Route("/developer/subscriptions/{id}", self.delete_subscription, methods=["DELETE"]),
        ]

    async def list_webhooks(self, request: Request) -> Response:
        """A page of webhooks, with links and meta."""
        return self._page(request, [self._webhook_row(webhook) for webhook in self._world.webhooks.values()])

    async def create_webhook(self, request: Request) -> Response:
        """Keep a webhook, if its address passes the handshake."""
        try:
            found = await self._fields(request)
            blank = Webhook(id=self._world.new_id(), uri="", style=self._options.webhook_style)
            webhook = await self._verified(found, blank)
        except (Unreadable, Invalid) as failure:
            return self._refuse(failure)
        self._world.keep_webhook(webhook, now=self._now())
        return self._done("Created successfully", self._webhook_row(webhook, created=True))

    async def show_webhook(self, request: Request) -> Response:
        """One webhook."""
        webhook = self._world.webhooks.get(request.path_params["id"])
        return self._done("OK", self._webhook_row(webhook)) if webhook else self._missing()

    async def change_webhook(self, request: Request) -> Response:
        """Change the fields that are given; the address is verified again."""
        known = self._world.webhooks.get(request.path_params["id"])
        if known is None:
            return self._missing()
        try:
            webhook = await self._verified(await self._fields(request), known)
        except (Unreadable, Invalid) as failure:
            return self._refuse(failure)
        self._world.keep_webhook(webhook, now=self._now())
        return self._done("Updated successfully", self._webhook_row(webhook))

    async def delete_webhook(self, request: Request) -> Response:
        """Forget a webhook, and the subscriptions that name it."""
        gone = self._world.drop_webhook(request.path_params["id"])
        return self._done("Deleted successfully", []) if gone else self._missing()

    async def list_subscriptions(self, request: Request) -> Response:
        """A page of subscriptions, with links and meta."""
        return self._page(request, [_subscription_row(each) for each in self._world.subscriptions.values()])

    async def create_subscription(self, request: Request) -> Response:
        """Send every event of a kind to a webhook."""
        try:
            found = await self._fields(request)
        except Unreadable as failure:
            return self._refuse(failure)
        event, webhook_id = str(found.get("event", "")), str(found.get("webhook_id", ""))
        errors: dict[str, list[str]] = {}
        if event not in _EVENTS:
            errors["event"] = [f"The event must be one of {', '.join(_EVENTS)}."]
        if webhook_id not in self._world.webhooks:
            errors["webhook_id"] = ["The selected webhook_id is invalid."]
        if errors:
            return self._refuse(Invalid(errors))
        subscription = self._world.subscribe(event=event, webhook_id=webhook_id, now=self._now())
        return self._done("Created successfully", _subscription_row(subscription))

    async def show_subscription(self, request: Request) -> Response:
        """One subscription."""
        found = self._world.subscriptions.get(request.path_params["id"])
        return self._done("OK", _subscription_row(found)) if found else self._missing()

    async def delete_subscription(self, request: Request) -> Response:
        """End a subscription."""
        found = self._world.subscriptions.pop(request.path_params["id"], None)
        return self._done("Deleted successfully", []) if found else self._missing()

    async def _verified(self, found: dict[str, Any], known: Webhook) -> Webhook:
        webhook = replace(
            known,
            name=str(found.get("name", known.name)),
            uri=str(found.get("uri", known.uri)),
            secret=str(found.get("secret", known.secret) or ""),
            token=str(found.get("token", known.token) or ""),
            active=str(found.get("status", "1" if known.active else "0")) in ("1", "True"),
        )
        errors = {} if webhook.name else {"name": ["The name field is required."]}
        problem = uri_problem(webhook.uri, allow_remote=self._options.allow_remote)
        if problem:
            errors["uri"] = [problem]
        if errors:
            raise Invalid(errors)
        problem = await self._postman.verify(webhook, challenge=self._world.new_id()[:8])
        if problem:
            raise Invalid({"uri": [problem]})
        return webhook

    async def _fields(self, request: Request) -> dict[str, Any]:
        return fields(request.headers.get("content-type", ""), await request.body())

    def _webhook_row(self, webhook: Webhook, *, created: bool = False) -> dict[str, Any]:
        since = responses.with_zone(self._world.webhook_since.get(webhook.id, self._now()))
        active = int(webhook.active)
        return {
            "id": webhook.id,
            "name": webhook.name,
            "uri": webhook.uri,
            "secret": webhook.secret,
            "verification_code": webhook.token,  # sent as "token", shown under another name
            "status": str(active) if created else active,  # text when created, a number when shown
            "created_at": since,
            "updated_at": since,
        }

    def _page(self, request: Request, rows: Sequence[dict[str, Any]]) -> Response:
        asked = request.query_params.get("page", "1")
        page = int(asked) if asked.isascii() and asked.isdigit() and 0 < len(asked) < 9 else 1
        last = max(1, -(-len(rows) // _PER_PAGE))

        def link(number: int) -> str | None:
            return str(request.url.replace(query=f"page={number}")) if 1 <= number <= last else None

        links = {"first": link(1), "last": link(last), "prev": link(page - 1), "next": link(page + 1)}
        meta = {"current_page": page, "last_page": last, "per_page": _PER_PAGE, "total": len(rows)}
        shown = list(rows[(page - 1) * _PER_PAGE : page * _PER_PAGE])
        return respond(responses.ok(self._options.generation, "OK", data=shown, links=links, meta=meta))

    def _done(self, message: str, data: Any) -> Response:
        return respond(responses.ok(self._options.generation, message, code=200, data=data))

    def _missing(self) -> Response:
        return respond(responses.error(self._options.generation, 404, "No query results for this id."))

    def _refuse(self, failure: Unreadable | Invalid) -> Response:
        if isinstance(failure, Invalid):
            return respond(responses.invalid(self._options.generation, failure.errors))
        return respond(responses.error(self._options.generation, 400, str(failure)))


def _subscription_row(subscription: Subscription) -> dict[str, Any]:
    return {
        "id": subscription.id,
        "event": subscription.event,
        "identity": "all",
        "webhook_id": subscription.webhook_id,
        "created_at": responses.with_zone(subscription.created_at),
    }
