"""Defines the provider's words, the styles of its callbacks, and the faults that can be ordered."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The provider's word for what became of one dial."""

    ANSWER = "ANSWER"  #: answered
    COMPLETED = "COMPLETED"  #: the second leg was answered too
    RECEIVED = "RECEIVED"  #: answered by the flow, not forwarded
    MISSED = "MISSED"  #: answered by the flow, the agent did not respond
    BUSY = "BUSY"
    NOANSWER = "NOANSWER"
    CANCEL = "CANCEL"  #: the caller hung up first
    CONGESTION = "CONGESTION"
    CHANUNAVAIL = "CHANUNAVAIL"

    @property
    def is_answered(self) -> bool:
        """Whether the callee picked up: the dial has a talk time, and the provider does not redial."""
        return self in (Outcome.ANSWER, Outcome.COMPLETED, Outcome.RECEIVED, Outcome.MISSED)


class Generation(StrEnum):
    """The generation of the API's answers."""

    old = "old"  #: {"status": 200, …}, ids with ":1", times in Indian time
    new = "new"  #: {"status": "OK", …}, bare ids, created_at in UTC


class CallbackStyle(StrEnum):
    """The way in which a webhook was set up in the provider's panel."""

    default = "default"  #: the documented push: POST, JSON, integers, no submission id
    composed_json = "composed-json"  #: POST, a JSON text in which templates are filled
    composed_get = "composed-get"  #: GET, everything in the query
    composed_put = "composed-put"  #: PUT, JSON as in composed-json
    composed_form = "composed-form"  #: POST, a form
    composed_multipart = "composed-multipart"  #: POST, multipart/form-data


class MidContent(StrEnum):
    """The content of the provider's `mid`, which its documents leave open."""

    campaign = "campaign"  #: an id of its own that equals nothing else
    submission = "submission"  #: the submission id


class PendingAnswer(StrEnum):
    """The answer of callstatus about a call that has no record yet; undocumented."""

    mixed = "mixed"  #: one of the three below, by id
    empty = "empty"  #: an empty list
    not_found = "not-found"  #: a 404
    queued = "queued"  #: a row with the status "queued"


class Fault(StrEnum):
    """A fault that can be ordered, with a rate from 0 to 1 or for one number."""

    duplicate = "duplicate"  #: the callback comes twice, byte for byte
    late = "late"  #: the callback comes long after the call ended
    out_of_order = "out-of-order"  #: overtaken by another call's callback; several dials come in reverse
    early = "early"  #: the callback comes before the answer to send
    never = "never"  #: no callback at all
    no_id = "no-id"  #: a default push, also if the webhook is composed
    composed_get = "composed-get"  #: this callback is a composed GET, whatever the webhook is
    composed_put = "composed-put"  #: … a composed PUT
    composed_form = "composed-form"  #: … a composed form
    composed_multipart = "composed-multipart"  #: … a composed multipart form
    broken_json = "broken-json"  #: an unescaped quote inside a value: no JSON parser reads it
    trailing_comma = "trailing-comma"  #: JSON with a comma too many: a lenient parser can mend it
    wrong_zone = "wrong-zone"  #: the callback's times are UTC instead of Indian time
    hang = "hang"  #: the answer to send never comes; the call is dialled all the same
    error_after_accept = "error-after-accept"  #: send is answered 500; the call is dialled all the same
    rate_limit = "rate-limit"  #: send is answered 429, with or without Retry-After; nothing is dialled
    no_balance = "no-balance"  #: send is refused in one of three shapes; nothing is dialled


#: Faults that refuse a submission. They are drawn per request, because nothing was accepted.
REFUSAL_FAULTS = (Fault.rate_limit, Fault.no_balance)

#: Faults that override the style of the webhook, strongest first.
STYLE_BY_FAULT: dict[Fault, CallbackStyle] = {
    Fault.no_id: CallbackStyle.default,
    Fault.composed_get: CallbackStyle.composed_get,
    Fault.composed_put: CallbackStyle.composed_put,
    Fault.composed_form: CallbackStyle.composed_form,
    Fault.composed_multipart: CallbackStyle.composed_multipart,
}
