"""What a request to the webhook says: a call record, something else, or nothing that can be read.

Forms: https://portal.thundersms.com/docs/v2/reach/webhook (default push and composed webhook),
https://portal.thundersms.com/docs/v2/event (envelope), https://portal.thundersms.com/docs/help/verify-webhook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.domain.accounts import Account
from tracker.domain.call_reports import CallReport, NotACall, UnreadableCallback, WebhookChallenge
from tracker.providers.base import CallbackRequest, Headers
from tracker.providers.field_lookup import FieldLookup, canonical_name
from tracker.providers.payloads import Fields, PayloadError, parse_body, parse_query
from tracker.providers.thundersms import scalars
from tracker.providers.thundersms.call_report import STATUS_NAMES, parse_call_report
from tracker.providers.thundersms.statuses import SHARED_STATUSES, SMS_ONLY_STATUSES, normalize_status

_MAX_CHALLENGE_LENGTH = 1000
_CHALLENGE_FIELDS = frozenset({"challenge", "validationkey", "token"})
_UNSUBSCRIPTION_FIELDS = frozenset({"id", "receiver", "type", "value"})

_VOICE_CHANNELS = frozenset({"voice", "outgoing", "obd", "ivr", "c2c"})
_OTHER_CHANNELS = frozenset({"whatsapp", "email", "rcs", "viber", "telegram", "messenger", "push"})

#: a text message has none of these
_CALL_FIELDS = (
    *("startat", "start", "startedat", "endat", "end", "endedat", "duration", "bridge", "flowid", "ivrid"),
    *("recordingurl", "callid", "dtmf", "hangupby", "billing"),
)
#: a call has none of these
_SMS_FIELDS = (
    *("sender", "senderid", "sms", "text", "message", "msg", "msgid", "messageid", "dlr", "parts", "units"),
    *("segments", "errorcode", "deliveredat", "sentat", "templateid", "entityid"),
)


def presented_secrets(headers: Headers) -> tuple[bytes, ...]:
    """The bearer secrets of all `Authorization` headers."""
    found = []
    for name, value in headers:
        if len(name) == 13 and name.lower() == b"authorization":  # thousands a second: the length first
            scheme, _, secret = value.strip().partition(b" ")
            if scheme.lower() == b"bearer" and (secret := secret.strip()):
                found.append(secret)
    return tuple(found)


def parse_webhook_challenge(incoming: CallbackRequest) -> WebhookChallenge | None:
    """The verification of a webhook, where this request is one: it has a `challenge`, in its body or its query."""
    if b"challenge" not in incoming.body and b"challenge" not in incoming.query:
        return None
    try:
        body, query = _parse_request_body(incoming) or {}, parse_query(incoming.query)
    except PayloadError:
        return None
    challenge = _parse_challenge_text(body.get("challenge")) or _parse_challenge_text(query.get("challenge"))
    if challenge is None:
        return None
    key = _parse_challenge_text(body.get("validation_key"))
    tokens = (_parse_challenge_text(query.get("token")), key)
    return WebhookChallenge(
        challenge=challenge,
        validation_key=key or _parse_challenge_text(query.get("validation_key")),
        tokens=tuple(token for token in tokens if token),
    )


def parse_callback(account: Account, incoming: CallbackRequest) -> CallReport | NotACall | UnreadableCallback:
    """What this callback says; the record in it if it is about a call."""
    try:
        body, query = _parse_request_body(incoming), parse_query(incoming.query)
    except PayloadError as exc:
        return UnreadableCallback(reason=str(exc))
    if not body and not query:
        return UnreadableCallback(reason="holds no fields: empty")
    if _is_challenge(query if body is None else body):
        return NotACall(reason="handshake")
    fields = FieldLookup(_field_layers(body, query))
    if (other := _detect_other_message(fields)) is not None:
        return other
    return parse_call_report(
        fields, zone=account.time_zone, region=account.region, keys=account.callback_keys
    )


def _parse_request_body(incoming: CallbackRequest) -> Fields | None:
    for name, value in incoming.headers:
        if len(name) == 12 and name.lower() == b"content-type":
            return parse_body(incoming.body, value.decode("latin-1"))
    return parse_body(incoming.body, None)


def _field_layers(body: Fields | None, query: Fields) -> list[Mapping[str, Any]]:
    """The body before the query; of an envelope, the payload before what is written on the envelope."""
    body = body or {}
    payload = body.get("payload")
    if "event" in body and isinstance(payload, dict):
        return [payload, {key: value for key, value in body.items() if key != "payload"}, query]
    return [body, query] if query else [body]


def _is_challenge(fields: Fields) -> bool:
    return "challenge" in fields and all(canonical_name(key) in _CHALLENGE_FIELDS for key in fields)


def _detect_other_message(fields: FieldLookup) -> NotACall | None:
    event = (fields.first(("event",), scalars.parse_word) or "").lower()
    channel = (
        event.partition(":")[0]
        if ":" in event
        else (fields.first(("channel",), scalars.parse_word) or "").lower()
    )
    status = fields.first(STATUS_NAMES, scalars.parse_word)
    word = normalize_status(status) if status else ""
    if event.endswith("unsubscription") or (not word and fields.names >= _UNSUBSCRIPTION_FIELDS):
        return NotACall(reason="unsubscription")
    if channel == "sms":
        return NotACall(reason="sms-report")
    if channel in _OTHER_CHANNELS:
        return NotACall(reason="other-channel")
    if (
        channel in _VOICE_CHANNELS
        or (word not in SMS_ONLY_STATUSES and word not in SHARED_STATUSES)
        or not fields.names.isdisjoint(_CALL_FIELDS)
    ):
        return None
    if word in SMS_ONLY_STATUSES or not fields.names.isdisjoint(_SMS_FIELDS):
        return NotACall(reason="sms-report")
    return None


def _parse_challenge_text(value: Any) -> str | None:
    found = scalars.parse_text(value)
    return found if found and len(found) <= _MAX_CHALLENGE_LENGTH else None
