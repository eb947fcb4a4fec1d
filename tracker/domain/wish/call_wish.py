"""Declares each field of a call's wish once.

The rest of the program derives its own form from the declaration: how a request is read
(`lifecycle/placing/validation.py`), the columns of the table (`store/schema/tables.py`), the keys of the JSON document,
the options of `tracker call`, and the table of fields in docs/reference/http.md. A new field takes an entry here and a
migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar, dataclass_transform

from tracker.domain.wish import parsers
from tracker.domain.wish.parsers import REDIAL_INTERVALS, Parser

T = TypeVar("T")

_INTERVAL_LIST: Final = f"{', '.join(map(str, REDIAL_INTERVALS[:-1]))} or {REDIAL_INTERVALS[-1]}"


class FieldKind(StrEnum):
    """The kind of a field's value. It decides the type of its column and how its option is typed."""

    text = "text"
    whole_number = "whole number"
    mapping = "mapping"  #: names and values
    time = "time"


@dataclass(frozen=True, kw_only=True)
class WishField:
    """The declaration of one field. In its texts, names of fields stand in backquotes."""

    #: as requests and documents of the API have it
    name: str
    kind: FieldKind
    parser: Parser
    #: one or two sentences for the reference and for `--help`
    help: str
    #: sentences that only the reference has
    details: str
    #: as typed on the command line; a name without dashes is an argument, without a name the field is not offered
    options: tuple[str, ...]
    #: what `--help` calls the value
    metavar: str | None
    #: whether a call may have no value
    is_nullable: bool

    def parse(self, value: Any, region: str = "IN") -> Any:
        """Return what a value in a request means. Raises ValueError, which says what is allowed."""
        return self.parser(value, region)


def wish_field(
    parser: Parser,
    help: str,  # noqa: A002 -- the word of command lines
    details: str = "",
    *,
    kind: FieldKind = FieldKind.text,
    options: tuple[str, ...] | None = None,
    metavar: str | None = None,
    default: Any = MISSING,
    default_factory: Any = MISSING,
) -> Any:
    """Declare a field of the dataclass. options: by default the name of the field with dashes."""
    words = {
        "parser": parser, "help": help, "details": details, "kind": kind, "options": options, "metavar": metavar,
    }  # fmt: skip
    # variables may be secret, and metadata is somebody's own: neither belongs into a log by accident
    shown = kind is not FieldKind.mapping
    return field(default=default, default_factory=default_factory, repr=shown, metadata=words)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(wish_field,))
def _wish(cls: type[T]) -> type[T]:
    return dataclass(frozen=True, kw_only=True)(cls)


@_wish
class CallWish:
    """The wish to reach one number with one message."""

    account: str = wish_field(
        parsers.parse_text, "The account that places the call. May be left out if exactly one is configured."
    )
    #: E.164 with "+"
    to: str = wish_field(
        parsers.parse_phone_number,
        "The number to call, with its country code.",
        "Needed. Digits, one leading `+`, spaces, `-`, `.`, `(`, `)`; a number that exists. Without country code it is "
        "read in the account's `region`.",
        options=("TO",),
    )
    #: digits
    bridge: str = wish_field(
        parsers.parse_bridge_number,
        "The number that calls, 3 to 15 digits. By default that of the account.",
        metavar="NUMBER",
    )
    flow_id: str | None = wish_field(
        parsers.parse_flow_id,
        "The flow that the callee hears. Either it or `audio` is needed.",
        options=("--flow", "--flow-id"),
        metavar="ID",
        default=None,
    )
    #: a sound's UUID or its http(s) address
    audio: str | None = wish_field(
        parsers.parse_audio,
        "The sound that the callee hears instead of a flow: its UUID or its http(s) address.",
        metavar="UUID|URL",
        default=None,
    )
    #: the secret ones of a stored call are keyed digests
    variables: Mapping[str, str] = wish_field(
        parsers.parse_variables,
        "Variables of the flow.",
        "An object of names (letters, digits, underscore; a letter first) and texts. A number becomes a text: `1` is "
        '`"1"`, `1.50` is `"1.5"`. Send a text if its digits matter. Anything else is 422.',
        kind=FieldKind.mapping,
        options=("--var",),
        metavar="NAME=VALUE",
        default_factory=dict,
    )
    metadata: Mapping[str, Any] = wish_field(
        parsers.parse_metadata,
        "Notes of your own that stay here and are not sent.",
        "An object.",
        kind=FieldKind.mapping,
        options=("--meta",),
        metavar="NAME=VALUE",
        default_factory=dict,
    )
    name: str | None = wish_field(
        parsers.parse_text, "The name of the campaign at the provider.", default=None
    )
    #: minutes, one of `REDIAL_INTERVALS`; None is not sent, and the provider takes it for 0
    interval: int | None = wish_field(
        parsers.parse_interval,
        f"The minutes after which the provider redials by itself: {_INTERVAL_LIST}.",
        kind=FieldKind.whole_number,
        metavar="MINUTES",
        default=None,
    )
    webhook_id: str | None = wish_field(
        parsers.parse_text,
        "The provider's webhook that reports the call. By default that of the account.",
        metavar="ID",
        default=None,
    )
    campaign: str | None = wish_field(
        parsers.parse_text,
        "The campaign that the call belongs to here.",
        "A name of your own, to filter by.",
        default=None,
    )
    reference: str | None = wish_field(
        parsers.parse_text,
        "Your own reference, such as an order number.",
        "At most 200 characters.",
        default=None,
    )
    rule: str | None = wish_field(
        parsers.parse_rule, 'Only `"none"`: there are no rules yet.', options=(), default=None
    )
    policy: str | None = wish_field(
        parsers.parse_policy, "There are none yet: leave it out.", options=(), default=None
    )
    #: UTC
    not_before: datetime | None = wish_field(
        parsers.parse_time,
        "Dial from this time on.",
        "A time with a zone.",
        kind=FieldKind.time,
        metavar="TIME",
        default=None,
    )
    #: UTC
    not_after: datetime | None = wish_field(
        parsers.parse_time,
        "Dial until this time, or not at all.",
        "A time with a zone.",
        kind=FieldKind.time,
        metavar="TIME",
        default=None,
    )

    def wish_values(self) -> dict[str, Any]:
        """Return the values of the wish by field, without the fields that a subclass adds."""
        return {name: getattr(self, name) for name in WISH_FIELDS}


def _declarations() -> dict[str, WishField]:
    found = {}
    for each in fields(CallWish):
        words = dict(each.metadata)
        if words["options"] is None:
            words["options"] = ("--" + each.name.replace("_", "-"),)
        found[each.name] = WishField(name=each.name, is_nullable=each.default is None, **words)
    return found


#: the declarations by name, in the order of documents
WISH_FIELDS: Final[Mapping[str, WishField]] = _declarations()
