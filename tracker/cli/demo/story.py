"""Who is called in the demo, what becomes of each call, and what goes wrong on the way.

The simulator is told all of it by number, so that the story is the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

#: the webhook that every call names, and one that carries JSON as somebody once composed it
WEBHOOK: Final = "outcomes"
SECOND_WEBHOOK: Final = "composed-json"
BRIDGE: Final = "918068280000"
#: the callees: valid numbers in form, beside the one that the provider's documents use
_FIRST_NUMBER: Final = 918919525201

#: simulated seconds in one real second
SPEED: Final = 40.0
#: enough for every part that the summary asks for
FEWEST: Final = 20
MOST: Final = 500


@dataclass(frozen=True, kw_only=True)
class Part:
    """One call of the story."""

    #: from 1
    position: int
    #: digits
    number: str
    title: str
    #: what each dial ends with, in the simulator's words; none: as chance wants it
    outcomes: tuple[str, ...] = ()
    #: what goes wrong, in the simulator's words
    faults: tuple[str, ...] = ()
    #: minutes after which the provider dials again by itself
    interval: int = 0
    webhook_id: str = WEBHOOK
    #: it is asked for tomorrow, and withdrawn by hand before
    withdrawn: bool = False
    #: the same request is sent twice with the same Idempotency-Key
    asked_twice: bool = False

    def request(self, tomorrow: str) -> dict[str, Any]:
        """The fields of `POST /api/v1/calls`. tomorrow: a time with a zone."""
        fields: dict[str, Any] = {
            "to": f"+{self.number}",
            "bridge": BRIDGE,
            "flow_id": "24",
            "name": "tracker_demo",
            "reference": f"demo-{self.position:02}",
            "webhook_id": self.webhook_id,
        }
        if self.interval:
            fields["interval"] = self.interval
        if self.withdrawn:
            fields["not_before"] = tomorrow
        return fields


def _part(title: str, outcome: str, *faults: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "outcomes": tuple(outcome.split(",")), "faults": faults, **more}


#: In the order in which they are placed. The first FEWEST have everything that the summary asks for.
_CAST: Final[Sequence[dict[str, Any]]] = (
    _part("answered; asked for twice, dialled once", "answer", asked_twice=True),
    _part("busy", "busy"),
    _part(
        "redialled by the provider, reported in reverse order",
        "noanswer,answer",
        "out-of-order",
        interval=5,
    ),
    _part("too many requests: sent again", "answer", "rate-limit"),
    _part("the provider's answer never comes", "busy", "hang"),
    _part("nobody answers", "noanswer"),
    _part("the callback comes twice", "answer", "duplicate"),
    _part("the callback is faster than the provider's answer", "answer", "early"),
    _part("the callback has no id", "answer", "no-id"),
    _part("early, and without an id", "busy", "early", "no-id"),
    _part(
        "one callback is broken JSON, another can be read", "answer", "broken-json", webhook_id=SECOND_WEBHOOK
    ),
    _part("congestion", "congestion"),
    _part("channel unavailable", "chanunavail"),
    _part("the caller hangs up first", "cancel"),
    _part("the callback's times are in another zone", "noanswer", "wrong-zone"),
    _part("refused: no balance", "answer", "no-balance"),
    _part("the provider answers 500, and dials", "answer", "error-after-accept"),
    _part("the callback is a GET", "noanswer", "composed-get"),
    _part("the callback is a PUT", "answer", "composed-put"),
    _part("withdrawn before it was due", "answer", withdrawn=True),
    _part("answered, but the agent did not respond", "missed"),
    _part("twice, and without an id", "busy", "no-id", "duplicate"),
    _part("JSON with a comma too many, mended", "answer", "no-id", "trailing-comma"),
    _part("the callback comes late", "noanswer", "late"),
)


def cast(calls: int) -> list[Part]:
    """The first `calls` of the story; what comes after the written ones is left to chance."""
    parts: list[Part] = []
    for index in range(calls):
        number = str(_FIRST_NUMBER + index)
        written = _CAST[index] if index < len(_CAST) else {"title": "as chance wants it"}
        parts.append(Part(position=index + 1, number=number, **written))
    return parts


def simulator_flags(parts: Sequence[Part]) -> Iterator[str]:
    """What `tracker simulate` is told, so that it plays this story. The webhooks have no address yet."""
    yield from ("--speed", f"{SPEED:g}", "--late-by", "200", "--max-dials", "2")
    for id, style in ((WEBHOOK, "composed-form"), (SECOND_WEBHOOK, "composed-json")):
        # Port 9 is "discard": until the real address is registered, nobody is told anything.
        yield from ("--webhook", f"{id}=http://127.0.0.1:9/", "--webhook-style", f"{id}={style}")
    # Whatever a call names, its outcome is reported to the first one: as a subscription does.
    yield from ("--subscribe", WEBHOOK)
    for name, template in _FIELDS.items():
        yield from ("--webhook-field", f"{name}={template}")
    for part in parts:
        if part.outcomes:
            yield from ("--outcome", f"{part.number}={','.join(part.outcomes)}")
        if part.faults:
            yield from ("--fault", f"{part.number}={','.join(part.faults)}")


#: the composed webhooks' own names for the provider's values
_FIELDS: Final = {
    "call_id": "{{outgoing.id}}",
    "to": "{{to}}",
    "status": "{{status}}",
    "start_at": "{{start_at}}",
    "end_at": "{{end_at}}",
    "duration": "{{duration}}",
    "recording_url": "{{recording_url}}",
}
