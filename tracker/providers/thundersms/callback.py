"""Parses requests of ThunderSMS to our webhook: a call record, another message, or a challenge.

Forms: https://portal.thundersms.com/docs/v2/reach/webhook (default push and composed webhook),
https://portal.thundersms.com/docs/v2/event (envelope), https://portal.thundersms.com/docs/help/verify-webhook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracker.domain.accounts import Account
from tracker.domain.call_reports import CallReport, NotACall, UnreadableCallback, WebhookChallenge
from tracker.providers.base import CallbackRequest, Headers
from tracker.providers.field_lookup import FieldLookup, canonical_name
from tracker.providers.payloads import Fields, PayloadError, parse_body, parse_query
from tracker.providers.thundersms import scalars
from tracker.providers.thundersms.call_report import STATUS_NAMES, parse_call_report
from tracker.providers.thundersms.statuses import SHARED_STATUSES, SMS_ONLY_STATUSES, normalize_status

#: characters
_MAX_CHALLENGE_LENGTH: Final = 1000
_CHALLENGE_FIELDS: Final = frozenset({"challenge", "validationkey", "token"})
_UNSUBSCRIPTION_FIELDS: Final = frozenset({"id", "receiver", "type", "value"})

_VOICE_CHANNELS: Final = frozenset({"voice", "outgoing", "obd", "ivr", "c2c"})
_OTHER_CHANNELS: Final = frozenset({"whatsapp", "email", "rcs", "viber", "telegram", "messenger", "push"})

#: no text message has one of these
_CALL_FIELDS: Final = (
    *("startat", "start", "startedat", "endat", "end", "endedat", "duration", "bridge", "flowid", "ivrid"),
    *("recordingurl", "callid", "dtmf", "hangupby", "billing"),
)
#: no call has one of these
_SMS_FIELDS: Final = (
    *("sender", "senderid", "sms", "text", "message", "msg", "msgid", "messageid", "dlr", "parts", "units"),
    *("segments", "errorcode", "deliveredat", "sentat", "templateid", "entityid"),
)


def presented_secrets(headers: Headers) -> tuple[bytes, ...]:
    """Return the bearer secrets of all `Authorization` headers."""
    secrets = []
    for name, value in headers:
        # The length first, because this runs for each header of thousands of callbacks a second.
        if len(name) == 13 and name.lower() == b"authorization":
            scheme, _, secret = value.strip().partition(b" ")
            if scheme.lower() == b"bearer" and (secret := secret.strip()):
                secrets.append(secret)
    return tuple(secrets)


def parse_webhook_challenge(request: CallbackRequest) -> WebhookChallenge | None:
    """Return the challenge if the request verifies the webhook: its body or its query has a `challenge`."""
    if b"challenge" not in request.body and b"challenge" not in request.query:
        return None
    try:
        body, query = _parse_request_body(request) or {}, parse_query(request.query)
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


def parse_callback(account: Account, request: CallbackRequest) -> CallReport | NotACall | UnreadableCallback:
    """Return the call record in the callback, or why there is none."""
    try:
        body, query = _parse_request_body(request), parse_query(request.query)
    except PayloadError as error:
        return UnreadableCallback(reason=str(error))
    if not body and not query:
        return UnreadableCallback(reason="the callback is empty")
    if _is_challenge(query if body is None else body):
        return NotACall(reason="handshake")
    fields = FieldLookup(_field_layers(body, query))
    if (other := _detect_other_message(fields)) is not None:
        return other
    return parse_call_report(
        fields, zone=account.time_zone, region=account.region, keys=account.callback_keys
    )


def _parse_request_body(request: CallbackRequest) -> Fields | None:
    for name, value in request.headers:
        if len(name) == 12 and name.lower() == b"content-type":
            return parse_body(request.body, value.decode("latin-1"))
    return parse_body(request.body, None)


def _field_layers(body: Fields | None, query: Fields) -> list[Mapping[str, Any]]:
    """Return the body before the query. Of an envelope, return the payload before the envelope's own fields."""
    body = body or {}
    payload = body.get("payload")
    if "event" in body and isinstance(payload, dict):
        return [payload, {key: value for key, value in body.items() if key != "payload"}, query]
    return [body, query] if query else [body]


def _is_challenge(fields: Fields) -> bool:
    return "challenge" in fields and all(canonical_name(key) in _CHALLENGE_FIELDS for key in fields)


def _detect_other_message(fields: FieldLookup) -> NotACall | None:
    """Return the kind of a message that is not about a call: an unsubscription, or one of another channel."""
    event = (fields.first_value(("event",), scalars.parse_word) or "").lower()
    channel, has_channel, _ = event.partition(":")
    if not has_channel:
        channel = (fields.first_value(("channel",), scalars.parse_word) or "").lower()
    word = fields.first_value(STATUS_NAMES, scalars.parse_word)
    status = normalize_status(word) if word else ""
    if event.endswith("unsubscription") or (not status and fields.names >= _UNSUBSCRIPTION_FIELDS):
        return NotACall(reason="unsubscription")
    if channel == "sms":
        return NotACall(reason="sms-report")
    if channel in _OTHER_CHANNELS:
        return NotACall(reason="other-channel")
    if (
        channel in _VOICE_CHANNELS
        or (status not in SMS_ONLY_STATUSES and status not in SHARED_STATUSES)
        or not fields.names.isdisjoint(_CALL_FIELDS)
    ):
        return None
    if status in SMS_ONLY_STATUSES or not fields.names.isdisjoint(_SMS_FIELDS):
        return NotACall(reason="sms-report")
    return None


def _parse_challenge_text(value: Any) -> str | None:
    text = scalars.parse_text(value)
    return text if text and len(text) <= _MAX_CHALLENGE_LENGTH else None
