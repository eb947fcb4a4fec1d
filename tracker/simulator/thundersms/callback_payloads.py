"""Composes the callback of a dial that has ended: method, address, headers and the very bytes.

A composed webhook fills the provider's templates: `{{id}}`, `@{{status}}`, `{{outgoing.id}}`, and a flow's variables by
name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from tracker.simulator.options import Webhook
from tracker.simulator.state import AcceptedCall, Dial
from tracker.simulator.thundersms.vocabulary import STYLE_BY_FAULT, CallbackStyle, Fault

#: The zone of the provider's machines. India has no daylight saving time.
INDIA = timezone(timedelta(hours=5, minutes=30), "Asia/Kolkata")

_METHODS = {CallbackStyle.composed_get: "GET", CallbackStyle.composed_put: "PUT"}
_BOUNDARY = "----simulated-provider-boundary"  # fixed, so that the same scenario has the same bytes
_TEMPLATE = re.compile(r"@?\{\{\s*([A-Za-z_][A-Za-z0-9_.]*)\s*\}\}")


@dataclass(frozen=True, kw_only=True)
class CallbackRequest:
    """One callback, ready to be posted."""

    webhook_id: str
    style: CallbackStyle
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def compose_callback(call: AcceptedCall, dial: Dial, webhook: Webhook) -> CallbackRequest:
    """Return the callback for one ended dial, with the faults of its scenario that concern bytes."""
    faults = call.scenario.faults
    style = next((style for fault, style in STYLE_BY_FAULT.items() if fault in faults), webhook.style)
    values = template_values(call, dial, utc=Fault.wrong_zone in faults)
    fields = {key: fill_template(template, values) for key, template in webhook.fields.items()}
    url = _fill_url(webhook.uri, values)
    content_type, body = "application/json", ""
    match style:
        case CallbackStyle.default:
            body = _spoil_json(json.dumps(_default_push(call, values), ensure_ascii=False), faults)
        case CallbackStyle.composed_json | CallbackStyle.composed_put:
            # The provider pastes values into a JSON text unescaped, so a quote in a variable breaks it.
            rows = [f'  "{key}": "{value}"' for key, value in fields.items()]
            body = _spoil_json("{\n" + ",\n".join(rows) + "\n}", faults)
        case CallbackStyle.composed_get:
            content_type, url = "", _add_query(url, fields)
        case CallbackStyle.composed_form:
            content_type, body = "application/x-www-form-urlencoded", _encode_form(fields)
        case CallbackStyle.composed_multipart:
            content_type = f"multipart/form-data; boundary={_BOUNDARY}"
            body = _encode_multipart(fields)
    return CallbackRequest(
        webhook_id=webhook.id,
        style=style,
        method=_METHODS.get(style, "POST"),
        url=url,
        headers=webhook_headers(webhook, content_type),
        # A template can hold a lone surrogate, as JSON can; the bytes must go out all the same.
        body=body.encode("utf-8", "surrogatepass"),
    )


def webhook_headers(webhook: Webhook, content_type: str) -> dict[str, str]:
    """Return the headers of every request to this webhook, its bearer secret among them."""
    headers = {"User-Agent": "simulated-provider/1"}
    if content_type:
        headers["Content-Type"] = content_type
    if webhook.secret:
        headers["Authorization"] = f"Bearer {webhook.secret}"
    return headers


def template_values(call: AcceptedCall, dial: Dial, *, utc: bool) -> dict[str, str]:
    """Return the value of every name that a template can contain, for a dial that has ended."""
    if dial.ended_at is None:
        raise ValueError("A dial that has not ended has no record.")
    request = call.request
    record = {
        "id": call.scenario.uuid,  # without the suffix, also if the answer to send had one
        "mid": call.scenario.mid,
        "status": dial.planned.outcome.value,
        "from": request.bridge,
        "to": request.to,
        "bridge": request.bridge,
        "flow_id": request.flow_id or "",
        "start_at": format_naive(dial.started_at, utc=utc),
        "end_at": format_naive(dial.ended_at, utc=utc),
        # The time on a bill. With a speed above 1 it is more than end − start; the provider's sample disagrees too.
        "duration": str(dial.planned.talk_s),
        "recording_url": _recording_url(call, dial),
    }
    outgoing = {f"outgoing.{name}": value for name, value in record.items()}
    outgoing |= {"outgoing.id": call.id, "outgoing.parent_id": call.id}
    variables = {f"variables.{name}": value for name, value in request.variables.items()}
    return {**request.variables, **variables, **request.fields, **outgoing, **record}


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """Return the template with the values put in unescaped. Unknown names stay as written."""
    return _TEMPLATE.sub(lambda match: values.get(match.group(1), match.group(0)), template)


def format_naive(at: datetime, *, utc: bool) -> str:
    """Return a time as the provider writes it: whole seconds, no zone; Indian time unless `utc`."""
    return at.astimezone(UTC if utc else INDIA).strftime("%Y-%m-%d %H:%M:%S")


def _recording_url(call: AcceptedCall, dial: Dial) -> str:
    """Return the address of the recording, which leads nowhere; empty if the dial was not answered."""
    if not dial.planned.outcome.is_answered:
        return ""
    return f"https://recordings.simulated.invalid/{call.scenario.uuid}-{call.dials.index(dial) + 1}.mp3"


def _default_push(call: AcceptedCall, values: Mapping[str, str]) -> dict[str, object]:
    return {
        "bridge": _integer_or_text(values["bridge"]),
        "from": _integer_or_text(values["from"]),
        "to": _integer_or_text(values["to"]),
        "source": "OBD",
        "mid": values["mid"],
        "flow_id": _integer_or_text(call.request.flow_id) if call.request.flow_id else None,
        "start_at": values["start_at"],
        "end_at": values["end_at"],
        "duration": values["duration"],
        "status": values["status"],
        "recording_url": values["recording_url"],
    }


def _spoil_json(text: str, faults: frozenset[Fault]) -> str:
    """Return the text of a JSON object, spoiled as ordered. It still ends in a brace."""
    if Fault.broken_json in faults:
        text = text.rstrip().removesuffix("}").rstrip() + ', "note": "the caller said "hello" and hung up"}'
    if Fault.trailing_comma in faults:
        text = text.rstrip().removesuffix("}").rstrip() + ",\n}"
    return text


def _integer_or_text(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _fill_url(uri: str, values: Mapping[str, str]) -> str:
    if "{{" not in uri:
        return uri
    quoted = {name: quote(value, safe="", errors="surrogatepass") for name, value in values.items()}
    return fill_template(uri, quoted)


def _add_query(url: str, fields: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, _encode_form(fields))))))


def _encode_form(fields: Mapping[str, str]) -> str:
    return urlencode(fields, errors="surrogatepass")


def _encode_multipart(fields: Mapping[str, str]) -> str:
    parts = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    )
    return "".join(parts) + f"--{_BOUNDARY}--\r\n"
