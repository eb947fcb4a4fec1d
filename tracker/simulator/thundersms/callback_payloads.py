"""A dial that has ended becomes a callback: method, address, headers and the very bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from tracker.simulator.options import Webhook
from tracker.simulator.state import Call, Dial
from tracker.simulator.thundersms.templates import fill, values
from tracker.simulator.thundersms.vocabulary import STYLE_OF, Fault, Style

_METHODS = {Style.composed_get: "GET", Style.composed_put: "PUT"}
_BOUNDARY = "----simulated-provider-boundary"  # fixed, so that the same story has the same bytes


@dataclass(frozen=True, kw_only=True)
class CallbackRequest:
    """One callback, ready to be posted."""

    webhook_id: str
    style: Style
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def compose(call: Call, dial: Dial, webhook: Webhook) -> CallbackRequest:
    """The callback for one ended dial, with the faults of its story that are about bytes."""
    faults = call.story.faults
    style = next((style for fault, style in STYLE_OF.items() if fault in faults), webhook.style)
    known = values(call, dial, utc=Fault.wrong_zone in faults)
    url = _filled_url(webhook.uri, known)
    content_type, body = "application/json", ""
    match style:
        case Style.default:
            body = _broken(json.dumps(_default_push(call, known), ensure_ascii=False), faults)
        case Style.composed_json | Style.composed_put:
            # The provider pastes values into a JSON text unescaped, so a quote in a variable breaks it.
            rows = [f'  "{key}": "{fill(template, known)}"' for key, template in webhook.fields.items()]
            body = _broken("{\n" + ",\n".join(rows) + "\n}", faults)
        case Style.composed_get:
            content_type, url = "", _with_query(url, {k: fill(t, known) for k, t in webhook.fields.items()})
        case Style.composed_form:
            content_type = "application/x-www-form-urlencoded"
            body = _encoded({k: fill(t, known) for k, t in webhook.fields.items()})
        case Style.composed_multipart:
            content_type = f"multipart/form-data; boundary={_BOUNDARY}"
            body = _multipart({k: fill(t, known) for k, t in webhook.fields.items()})
    return CallbackRequest(
        webhook_id=webhook.id,
        style=style,
        method=_METHODS.get(style, "POST"),
        url=url,
        headers=headers(webhook, content_type),
        # A template can hold a lone surrogate, as JSON can; the bytes must go out all the same.
        body=body.encode("utf-8", "surrogatepass"),
    )


def headers(webhook: Webhook, content_type: str) -> dict[str, str]:
    """The headers of everything that is sent to this webhook, its bearer secret among them."""
    found = {"User-Agent": "simulated-provider/1"}
    if content_type:
        found["Content-Type"] = content_type
    if webhook.secret:
        found["Authorization"] = f"Bearer {webhook.secret}"
    return found


def _default_push(call: Call, known: Mapping[str, str]) -> dict[str, object]:
    return {
        "bridge": _integer(known["bridge"]),
        "from": _integer(known["from"]),
        "to": _integer(known["to"]),
        "source": "OBD",
        "mid": known["mid"],
        "flow_id": _integer(call.request.flow_id) if call.request.flow_id else None,
        "start_at": known["start_at"],
        "end_at": known["end_at"],
        "duration": known["duration"],
        "status": known["status"],
        "recording_url": known["recording_url"],
    }


def _broken(text: str, faults: frozenset[Fault]) -> str:
    """A JSON object spoiled as ordered: it still ends in a brace."""
    if Fault.broken_json in faults:
        text = text.rstrip().removesuffix("}").rstrip() + ', "note": "the caller said "hello" and hung up"}'
    if Fault.trailing_comma in faults:
        text = text.rstrip().removesuffix("}").rstrip() + ",\n}"
    return text


def _integer(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _filled_url(uri: str, known: Mapping[str, str]) -> str:
    if "{{" not in uri:
        return uri
    return fill(uri, {name: quote(value, safe="", errors="surrogatepass") for name, value in known.items()})


def _with_query(url: str, fields: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, _encoded(fields))))))


def _encoded(fields: Mapping[str, str]) -> str:
    return urlencode(fields, errors="surrogatepass")


def _multipart(fields: Mapping[str, str]) -> str:
    rows = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    )
    return "".join(rows) + f"--{_BOUNDARY}--\r\n"
