"""Parses the short texts of the command line: `answer=60,busy=15`, `918919525224=busy,answer`.

Every function raises InvalidOption with a sentence that names the option and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from tracker.simulator.options import DEFAULT_FIELDS, InvalidOption, Webhook
from tracker.simulator.thundersms.vocabulary import CallbackStyle, Fault, Outcome

E = TypeVar("E", bound=StrEnum)


@contextmanager
def naming_option(option: str) -> Iterator[None]:
    """Put the name of the option before every InvalidOption that is raised inside. Also a decorator."""
    try:
        yield
    except InvalidOption as error:
        raise InvalidOption(f"{option}: {error}") from None


@naming_option("--mix")
def parse_mix(text: str) -> dict[Outcome, float]:
    """Parse `answer=60,busy=15` and return the weights."""
    weights: dict[Outcome, float] = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        outcome = _parse_member(Outcome, name)
        try:
            weights[outcome] = float(weight)
        except ValueError:
            raise InvalidOption(f"{part!r} is not OUTCOME=WEIGHT, such as busy=15.") from None
    return weights


@naming_option("--outcome")
def parse_outcomes(texts: Iterable[str]) -> dict[str, tuple[Outcome, ...]]:
    """Parse `918919525224=busy,answer` and return the outcomes of each number's dials, in order."""
    return {
        number: tuple(_parse_member(Outcome, name) for name in names)
        for number, names in _split_by_number(texts)
    }


@naming_option("--fault")
def parse_scripted_faults(texts: Iterable[str]) -> dict[str, frozenset[Fault]]:
    """Parse `918919525224=early,duplicate` and return the faults that each number certainly has."""
    return {
        number: frozenset(_parse_member(Fault, name) for name in names)
        for number, names in _split_by_number(texts)
    }


def parse_webhooks(
    texts: Iterable[str],
    *,
    secrets: Iterable[str] = (),
    styles: Iterable[str] = (),
    fields: Iterable[str] = (),
) -> tuple[Webhook, ...]:
    """Parse `ID=URI` and return the webhooks.

    A secret or a style is for all webhooks, or, written `ID=…`, for that one. Fields are for all of them.
    """
    with naming_option("--webhook-field"):
        chosen = dict(_split_pair(text, "KEY=TEMPLATE, such as call_id={{id}}") for text in fields)
    webhooks: dict[str, Webhook] = {}
    with naming_option("--webhook"):
        for text in texts:
            id, uri = _split_pair(text, "ID=URI")
            webhooks[id] = Webhook(id=id, uri=uri, name=id, fields=chosen or DEFAULT_FIELDS)
    for id, secret in _assign_to_webhooks(secrets, webhooks):
        webhooks[id] = replace(webhooks[id], secret=secret)
    for id, style in _assign_to_webhooks(styles, webhooks):
        webhooks[id] = replace(webhooks[id], style=parse_choice("--webhook-style", CallbackStyle, style))
    return tuple(webhooks.values())


def parse_choice(option: str, kind: type[E], name: str) -> E:
    """Return the member of an enumeration that is the value of this option."""
    with naming_option(option):
        return _parse_member(kind, name)


def _parse_member(kind: type[E], name: str) -> E:
    """Return the member of an enumeration with this name, whatever its case, with - or _."""
    wanted = name.strip().lower().replace("_", "-")
    for member in kind:
        if member.value.lower() == wanted:
            return member
    raise InvalidOption(
        f"{name.strip()!r} is not one of: {', '.join(member.value.lower() for member in kind)}."
    )


def _split_by_number(texts: Iterable[str]) -> Iterable[tuple[str, list[str]]]:
    for text in texts:
        number, names = _split_pair(text, "NUMBER=WORD[,WORD…]")
        yield number.removeprefix("+"), names.split(",")


def _split_pair(text: str, form: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value:
        raise InvalidOption(f"{text!r} is not {form}.")
    return name.strip(), value


def _assign_to_webhooks(texts: Iterable[str], webhooks: Mapping[str, Webhook]) -> Iterable[tuple[str, str]]:
    """Yield (id, value) for the values of all webhooks, then for those of one, so that these win."""
    specific: list[tuple[str, str]] = []
    for text in texts:
        id, sign, value = text.partition("=")
        if sign and id in webhooks:
            specific.append((id, value))
        else:
            yield from ((each, text) for each in webhooks)
    yield from specific
