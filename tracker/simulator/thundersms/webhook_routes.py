"""Serves the provider's routes for webhooks, with their handshake, and for subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.simulator.callback_sender import CallbackSender
from tracker.simulator.options import SimulatorOptions, Webhook, find_uri_problem
from tracker.simulator.state import CALL_EVENT, ProviderState, Subscription
from tracker.simulator.thundersms import responses
from tracker.simulator.thundersms.request_parsing import InvalidFields, UnreadableBody, parse_fields

_EVENTS = (CALL_EVENT, "voice:unsubscription")
_PER_PAGE = 15


class WebhookRoutes:
    """The routes of the webhooks and subscriptions of the simulated account."""

    def __init__(
        self,
        options: SimulatorOptions,
        state: ProviderState,
        sender: CallbackSender,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._options = options
        self._state = state
        self._sender = sender
        self._now = now

    def routes(self) -> list[Route]:
        """Return the routes, relative to the prefix of the API."""
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
        """List a page of webhooks, with links and meta."""
        return self._page(request, [self._webhook_row(webhook) for webhook in self._state.webhooks.values()])

    async def create_webhook(self, request: Request) -> Response:
        """Keep a webhook if its address passes the handshake."""
        try:
            fields = await self._fields(request)
            blank = Webhook(id=self._state.new_id(), uri="", style=self._options.webhook_style)
            webhook = await self._change_and_verify(blank, fields)
        except (UnreadableBody, InvalidFields) as error:
            return self._refuse(error)
        self._state.keep_webhook(webhook, now=self._now())
        return self._done("Created successfully", self._webhook_row(webhook, created=True))

    async def show_webhook(self, request: Request) -> Response:
        """Show one webhook."""
        webhook = self._state.webhooks.get(request.path_params["id"])
        return self._done("OK", self._webhook_row(webhook)) if webhook else self._missing()

    async def change_webhook(self, request: Request) -> Response:
        """Change the fields that are given; the address is verified again."""
        before = self._state.webhooks.get(request.path_params["id"])
        if before is None:
            return self._missing()
        try:
            webhook = await self._change_and_verify(before, await self._fields(request))
        except (UnreadableBody, InvalidFields) as error:
            return self._refuse(error)
        self._state.keep_webhook(webhook, now=self._now())
        return self._done("Updated successfully", self._webhook_row(webhook))

    async def delete_webhook(self, request: Request) -> Response:
        """Forget a webhook, and the subscriptions that name it."""
        is_dropped = self._state.drop_webhook(request.path_params["id"])
        return self._done("Deleted successfully", []) if is_dropped else self._missing()

    async def list_subscriptions(self, request: Request) -> Response:
        """List a page of subscriptions, with links and meta."""
        return self._page(request, [_subscription_row(each) for each in self._state.subscriptions.values()])

    async def create_subscription(self, request: Request) -> Response:
        """Send every event of a kind to a webhook."""
        try:
            fields = await self._fields(request)
        except UnreadableBody as error:
            return self._refuse(error)
        event, webhook_id = str(fields.get("event", "")), str(fields.get("webhook_id", ""))
        errors: dict[str, list[str]] = {}
        if event not in _EVENTS:
            errors["event"] = [f"The event must be one of {', '.join(_EVENTS)}."]
        if webhook_id not in self._state.webhooks:
            errors["webhook_id"] = ["The selected webhook_id is invalid."]
        if errors:
            return self._refuse(InvalidFields(errors))
        subscription = self._state.subscribe(event=event, webhook_id=webhook_id, now=self._now())
        return self._done("Created successfully", _subscription_row(subscription))

    async def show_subscription(self, request: Request) -> Response:
        """Show one subscription."""
        subscription = self._state.subscriptions.get(request.path_params["id"])
        return self._done("OK", _subscription_row(subscription)) if subscription else self._missing()

    async def delete_subscription(self, request: Request) -> Response:
        """End a subscription."""
        ended = self._state.subscriptions.pop(request.path_params["id"], None)
        return self._done("Deleted successfully", []) if ended else self._missing()

    async def _change_and_verify(self, webhook: Webhook, fields: dict[str, Any]) -> Webhook:
        """Return the webhook with these fields changed. Raises InvalidFields, also if the handshake fails."""
        webhook = replace(
            webhook,
            name=str(fields.get("name", webhook.name)),
            uri=str(fields.get("uri", webhook.uri)),
            secret=str(fields.get("secret", webhook.secret) or ""),
            token=str(fields.get("token", webhook.token) or ""),
            is_active=str(fields.get("status", "1" if webhook.is_active else "0")) in ("1", "True"),
        )
        errors = {} if webhook.name else {"name": ["The name field is required."]}
        problem = find_uri_problem(webhook.uri, allow_remote=self._options.allow_remote)
        if problem:
            errors["uri"] = [problem]
        if errors:
            raise InvalidFields(errors)
        problem = await self._sender.verify(webhook, challenge=self._state.new_id()[:8])
        if problem:
            raise InvalidFields({"uri": [problem]})
        return webhook

    async def _fields(self, request: Request) -> dict[str, Any]:
        return parse_fields(request.headers.get("content-type", ""), await request.body())

    def _webhook_row(self, webhook: Webhook, *, created: bool = False) -> dict[str, Any]:
        since = responses.format_utc(self._state.webhook_since.get(webhook.id, self._now()))
        active = int(webhook.is_active)
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
        wanted = request.query_params.get("page", "1")
        page = int(wanted) if wanted.isascii() and wanted.isdigit() and 0 < len(wanted) < 9 else 1
        last = max(1, -(-len(rows) // _PER_PAGE))

        def link(number: int) -> str | None:
            return str(request.url.replace(query=f"page={number}")) if 1 <= number <= last else None

        links = {"first": link(1), "last": link(last), "prev": link(page - 1), "next": link(page + 1)}
        meta = {"current_page": page, "last_page": last, "per_page": _PER_PAGE, "total": len(rows)}
        shown = list(rows[(page - 1) * _PER_PAGE : page * _PER_PAGE])
        return responses.success(
            self._options.generation, "OK", data=shown, links=links, meta=meta
        ).to_response()

    def _done(self, message: str, data: Any) -> Response:
        return responses.success(self._options.generation, message, code=200, data=data).to_response()

    def _missing(self) -> Response:
        return responses.error(self._options.generation, 404, "No query results for this id.").to_response()

    def _refuse(self, error: UnreadableBody | InvalidFields) -> Response:
        if isinstance(error, InvalidFields):
            return responses.invalid_fields(self._options.generation, error.errors).to_response()
        return responses.error(self._options.generation, 400, str(error)).to_response()


def _subscription_row(subscription: Subscription) -> dict[str, Any]:
    return {
        "id": subscription.id,
        "event": subscription.event,
        "identity": "all",
        "webhook_id": subscription.webhook_id,
        "created_at": responses.format_utc(subscription.created_at),
    }
