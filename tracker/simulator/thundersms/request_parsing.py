"""Parses the requests of clients: JSON with flat or nested variables, or a form; also with the older names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from tracker.simulator.state import SendRequest

_INTERVALS = (0, 5, 15, 30, 45, 60)
_VARIABLE = re.compile(r"variables\[([A-Za-z][A-Za-z0-9_]*)\]")
_KNOWN_FIELDS = {
    "bridge",
    "to",
    "flow_id",
    "ivr_id",
    "audio",
    "interval",
    "webhook_id",
    "variables",
    "access_token",
}


class UnreadableBody(ValueError):
    """The body is neither a JSON object nor a form."""


class InvalidFields(ValueError):
    """Some fields are wrong. errors: field → its problems, as sentences."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{name}: {' '.join(problems)}" for name, problems in errors.items()))


def parse_fields(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the fields of a request body. Raises UnreadableBody."""
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        fields = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise UnreadableBody(f"The body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UnreadableBody("The body is not a JSON object.")
    return fields


def parse_send_request(fields: Mapping[str, Any], *, webhook_ids: Mapping[str, object]) -> SendRequest:
    """Return a checked request to place a call. Raises InvalidFields with every wrong field."""
    errors: dict[str, list[str]] = {}
    to, bridge = _scalar_text(fields.get("to")), _scalar_text(fields.get("bridge"))
    if not re.fullmatch(r"[0-9]{8,15}", to):
        errors["to"] = ["The to must be digits with the country code." if to else "The to field is required."]
    if not re.fullmatch(r"\+?[0-9]{3,15}", bridge):
        errors["bridge"] = ["The bridge is invalid." if bridge else "The bridge field is required."]
    flow_id = _scalar_text(fields.get("flow_id") or fields.get("ivr_id"))
    audio = _scalar_text(fields.get("audio"))
    if bool(flow_id) == bool(audio):
        errors["flow_id"] = ["Give a flow_id or an audio, and not both."]
    interval = _scalar_text(fields.get("interval", 0)) or "0"
    if interval not in map(str, _INTERVALS):
        errors["interval"] = [f"The interval must be one of {', '.join(map(str, _INTERVALS))}."]
    webhook_id = _scalar_text(fields.get("webhook_id"))
    if webhook_id and webhook_id not in webhook_ids:
        errors["webhook_id"] = ["The selected webhook_id is invalid."]
    nested = fields.get("variables")
    if not isinstance(nested, Mapping | None):
        errors["variables"] = ["The variables must be an object."]
    if errors:
        raise InvalidFields(errors)
    variables = {str(name): _scalar_text(value) for name, value in (nested or {}).items()}
    others: dict[str, str] = {}
    for name, value in fields.items():
        match = _VARIABLE.fullmatch(name)
        if match:
            variables[match.group(1)] = _scalar_text(value)
        elif name not in _KNOWN_FIELDS:
            others[name] = _scalar_text(value)
    return SendRequest(
        bridge=bridge,
        to=to,
        flow_id=flow_id or None,
        audio=audio or None,
        interval_min=int(interval),
        webhook_id=webhook_id or None,
        variables=variables,
        fields=others,
    )


def _scalar_text(value: Any) -> str:
    """Return a scalar as the text that a PHP back end makes of it."""
    if value is None or isinstance(value, bool):
        return "1" if value else ""
    return value.strip() if isinstance(value, str) else str(value)
