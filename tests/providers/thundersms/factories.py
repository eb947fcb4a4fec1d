"""Makes the values of the ThunderSMS tests: an account, a command, documented payloads, responses, callbacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson

from tracker.domain.accounts import Account
from tracker.domain.call_reports import CallReport, NotACall, UnreadableCallback
from tracker.domain.calls import SubmitCommand
from tracker.providers.base import CallbackRequest, HttpResponse
from tracker.providers.registry import get_provider

PAYLOADS = Path(__file__).parents[2] / "payloads" / "thundersms"
SUBMISSION = "sub_01jd3x4k5m6n7p8q9r0s1t2v3w"
CALL = "call_01jd3x4k5m6n7p8q9r0s1t2v3w"

provider = get_provider("thundersms")


def make_account(**changes: Any) -> Account:
    return Account(**{"name": "thundersms", "access_token": "secret-token", **changes})


def make_command(**changes: Any) -> SubmitCommand:
    wish = {
        "call": CALL, "submission": SUBMISSION, "account": "thundersms", "to": "+918919525224",
        "bridge": "918068280000",
    }  # fmt: skip
    return SubmitCommand(**{**wish, **changes})


def load_payload(name: str) -> dict[str, Any]:
    """Load one documented request or response."""
    loaded: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return loaded


def payload_names(kind: str) -> list[str]:
    """Return the names of the documented payloads of a kind, such as `callback`."""
    return sorted(path.stem for path in PAYLOADS.glob("*.json") if load_payload(path.stem)["kind"] == kind)


def make_callback(
    body: bytes | str | dict[str, Any] = b"",
    *,
    query: str = "",
    content_type: str = "application/json",
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> CallbackRequest:
    """Make a request to the webhook."""
    if isinstance(body, dict):
        body = orjson.dumps(body)
    all_headers = {"content-type": content_type, **(headers or {})}
    return CallbackRequest(
        method=method,
        path=b"/callbacks/thundersms",
        query=query.encode(),
        headers=tuple((k.lower().encode(), v.encode()) for k, v in all_headers.items()),
        body=body.encode() if isinstance(body, str) else body,
    )


def load_callback(name: str) -> CallbackRequest:
    """Load a documented request to the webhook."""
    payload = load_payload(name)
    return make_callback(
        payload["body"],
        query=payload["query"],
        content_type=payload["content_type"],
        method=payload["method"],
        headers=payload["headers"],
    )


def parse_callback(
    body: bytes | str | dict[str, Any] = b"", *, account: dict[str, Any] | None = None, **request: Any
) -> CallReport | NotACall | UnreadableCallback:
    """Parse a callback with this body. `account`: changes of the account; `request`: see `make_callback`."""
    return provider.parse_callback(make_account(**(account or {})), make_callback(body, **request))


def parse_report(body: bytes | str | dict[str, Any] = b"", **options: Any) -> CallReport:
    """Parse a callback that must be about a call; the options are those of `parse_callback`."""
    report = parse_callback(body, **options)
    assert isinstance(report, CallReport), report
    return report


def make_response(
    body: bytes | str | dict[str, Any] = b"",
    status: int = 200,
    *,
    body_error: str | None = None,
    **headers: str,
) -> HttpResponse:
    """Make a response of the provider. A `_` in a header's name stands for `-`."""
    if isinstance(body, dict):
        body = orjson.dumps(body)
    return HttpResponse(
        status=status,
        headers=tuple((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()),
        body=body.encode() if isinstance(body, str) else body,
        body_error=body_error,
    )


def load_response(name: str, status: int = 200) -> HttpResponse:
    """Load a documented response."""
    return make_response(load_payload(name)["body"], status, content_type="application/json")
