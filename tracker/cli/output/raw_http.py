"""Renders requests and responses as they were on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from tracker.cli.output.text import escape_control, unwrapped_line


def render_raw_request(request: Mapping[str, Any] | None, indent: str = "") -> Iterator[Text]:
    """Render the request line, the headers and the body. No line of it is ever broken."""
    if request is None:
        yield Text(f"{indent}The request was lost with its inbox file.", "dim")
        return
    if "url" in request:
        target = request["url"]
    else:
        target = request["path"] + (f"?{request['query']}" if request["query"] else "")
    yield unwrapped_line(f"{indent}{escape_control(request['method'])} {escape_control(target)}", "bold")
    yield from _message(request, indent)


def render_raw_response(response: Mapping[str, Any], indent: str = "") -> Iterator[Text]:
    """Render the status, the headers and the body. No line of it is ever broken."""
    yield unwrapped_line(f"{indent}HTTP {response['status']}", "bold")
    yield from _message(response, indent)


def _message(message: Mapping[str, Any], indent: str) -> Iterator[Text]:
    yield from (unwrapped_line(f"{indent}{name}: {value}", "dim") for name, value in message["headers"])
    if message["body"]:
        yield Text()
        encoding = "" if message["body_encoding"] == "utf-8" else f"({message['body_encoding']}) "
        for line in (encoding + escape_control(message["body"], lines=True)).split("\n"):
            yield unwrapped_line(indent + line.expandtabs(8))
