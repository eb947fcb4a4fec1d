"""What the tests of the ThunderSMS adapter share: an account, a dial, documented payloads, replies, callbacks."""

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

PAYLOADS = Path(__file__).parents[1] / "payloads" / "thundersms"
SUBMISSION = "sub_01jd3x4k5m6n7p8q9r0s1t2v3w"
CALL = "call_01jd3x4k5m6n7p8q9r0s1t2v3w"

provider = get_provider("thundersms")


def account(**changes: Any) -> Account:
    return Account(**{"name": "thundersms", "access_token": "secret-token", **changes})


def dial(**changes: Any) -> SubmitCommand:
    given = {
        "call": CALL, "submission": SUBMISSION, "account": "thundersms", "to": "+918919525224",
        "bridge": "918068280000",
    }  # fmt: skip
    return SubmitCommand(**{**given, **changes})


def payload(name: str) -> dict[str, Any]:
    """One documented request or answer."""
    found: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return found


def payload_names(kind: str) -> list[str]:
    return sorted(path.stem for path in PAYLOADS.glob("*.json") if payload(path.stem)["kind"] == kind)


def incoming(
    body: bytes | str | dict[str, Any] = b"",
    *,
    query: str = "",
    content_type: str = "application/json",
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> CallbackRequest:
    """A request to the webhook."""
    if isinstance(body, dict):
        body = orjson.dumps(body)
    given = {"content-type": content_type, **(headers or {})}
    return CallbackRequest(
        method=method,
        path=b"/callbacks/thundersms",
        query=query.encode(),
        headers=tuple((k.lower().encode(), v.encode()) for k, v in given.items()),
        body=body.encode() if isinstance(body, str) else body,
    )


def incoming_payload(name: str) -> CallbackRequest:
    sent = payload(name)
    return incoming(
        sent["body"],
        query=sent["query"],
        content_type=sent["content_type"],
        method=sent["method"],
        headers=sent["headers"],
    )


def read(body: bytes | str | dict[str, Any] = b"", **how: Any) -> CallReport | NotACall | UnreadableCallback:
    """What a callback says."""
    changes = how.pop("account", {})
    return provider.parse_callback(account(**changes), incoming(body, **how))


def reading(body: bytes | str | dict[str, Any] = b"", **how: Any) -> CallReport:
    """What a callback says that is about a call."""
    found = read(body, **how)
    assert isinstance(found, CallReport), found
    return found


def reply(
    body: bytes | str | dict[str, Any] = b"",
    status: int = 200,
    *,
    body_error: str | None = None,
    **headers: str,
) -> HttpResponse:
    """A reply of the provider; a header's `_` stands for `-`."""
    if isinstance(body, dict):
        body = orjson.dumps(body)
    return HttpResponse(
        status=status,
        headers=tuple((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()),
        body=body.encode() if isinstance(body, str) else body,
        body_error=body_error,
    )


def reply_payload(name: str, status: int = 200) -> HttpResponse:
    return reply(payload(name)["body"], status, content_type="application/json")
