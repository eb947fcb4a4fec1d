"""The provider's words, the styles of its callbacks, and the faults that can be ordered."""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """What the provider says became of one dial."""

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
    def answered(self) -> bool:
        """Somebody picked up: there is a talk time, and the provider does not redial."""
        return self in (Word.ANSWER, Word.COMPLETED, Word.RECEIVED, Word.MISSED)


class Generation(StrEnum):
    """Which answers the API gives."""

    old = "old"  #: {"status": 200, …}, ids with ":1", times in Indian time
    new = "new"  #: {"status": "OK", …}, bare ids, created_at in UTC


class Style(StrEnum):
    """How a webhook was set up in the provider's panel."""

    default = "default"  #: the documented push: POST, JSON, integers, no submission id
    composed_json = "composed-json"  #: POST, a JSON text in which templates are filled
    composed_get = "composed-get"  #: GET, everything in the query
    composed_put = "composed-put"  #: PUT, JSON as in composed-json
    composed_form = "composed-form"  #: POST, a form
    composed_multipart = "composed-multipart"  #: POST, multipart/form-data


class Mid(StrEnum):
    """What the provider's `mid` holds; its documents do not say."""

    campaign = "campaign"  #: an id of its own that equals nothing else
    submission = "submission"  #: the submission id


class Pending(StrEnum):
    """What callstatus answers for a call that has no record yet; undocumented."""

    mixed = "mixed"  #: one of the three below, by id
    empty = "empty"  #: an empty list
    not_found = "not-found"  #: a 404
    queued = "queued"  #: a row with the status "queued"


class Fault(StrEnum):
    """What can be ordered to go wrong, each with a rate from 0 to 1."""

    duplicate = "duplicate"  #: the callback comes twice, byte for byte
    late = "late"  #: the callback comes long after the call ended
    out_of_order = "out-of-order"  #: overtaken by another call's callback; several dials come in reverse
    early = "early"  #: the callback comes before the answer to send
    never = "never"  #: no callback at all
    no_id = "no-id"  #: a default push, also where the webhook is composed
    composed_get = "composed-get"  #: this callback is a composed GET, whatever the webhook is
    composed_put = "composed-put"  #: … a composed PUT
    composed_form = "composed-form"  #: … a composed form
    composed_multipart = "composed-multipart"  #: … a composed multipart form
    broken_json = "broken-json"  #: an unescaped quote inside a value: no JSON parser reads it
    trailing_comma = "trailing-comma"  #: JSON with a comma too many: a patient reader can mend it
    wrong_zone = "wrong-zone"  #: the callback's times are UTC instead of Indian time
    hang = "hang"  #: the answer to send never comes; the call is dialled all the same
    error_after_accept = "error-after-accept"  #: send is answered 500; the call is dialled all the same
    rate_limit = "rate-limit"  #: send is answered 429, with or without Retry-After; nothing is dialled
    no_balance = (
        "no-balance"  #: send is refused for want of money, in one of three shapes; nothing is dialled
    )


#: Faults that refuse the submission: nothing was accepted, so they are drawn per request.
REFUSALS = (Fault.rate_limit, Fault.no_balance)

#: Faults that override the style of the webhook, strongest first.
STYLE_OF: dict[Fault, Style] = {
    Fault.no_id: Style.default,
    Fault.composed_get: Style.composed_get,
    Fault.composed_put: Style.composed_put,
    Fault.composed_form: Style.composed_form,
    Fault.composed_multipart: Style.composed_multipart,
}
