"""The short texts of the command line become values: `answer=60,busy=15`, `918919525224=busy,answer`.

Every function raises WrongOption with a sentence that names what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from tracker.simulator.options import DEFAULT_FIELDS, Webhook, WrongOption
from tracker.simulator.thundersms.vocabulary import Fault, Style, Word

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


def mix(text: str) -> dict[Word, float]:
    """`answer=60,busy=15` → weights."""
    weights: dict[Word, float] = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        word = member(Word, name)
        try:
            weights[word] = float(weight)
        except ValueError:
            raise WrongOption(f"{part!r} is not OUTCOME=WEIGHT, such as busy=15") from None
    return weights


def outcomes(texts: Iterable[str]) -> dict[str, tuple[Word, ...]]:
    """`918919525224=busy,answer` → the outcomes of that number's dials, in order."""
    return {number: tuple(member(Word, name) for name in names) for number, names in _by_number(texts)}


def scripted_faults(texts: Iterable[str]) -> dict[str, frozenset[Fault]]:
    """`918919525224=early,duplicate` → the faults that this number certainly has."""
    return {number: frozenset(member(Fault, name) for name in names) for number, names in _by_number(texts)}


def webhooks(
    texts: Iterable[str],
    *,
    secrets: Iterable[str] = (),
    styles: Iterable[str] = (),
    fields: Iterable[str] = (),
) -> tuple[Webhook, ...]:
    """`ID=URI` → webhooks. A secret or style is for all of them, or, written `ID=…`, for that one."""
    chosen_fields = named(
        "--webhook-field",
        lambda: dict(_pair(text, "KEY=TEMPLATE, such as call_id={{id}}") for text in fields),
    )
    known: dict[str, Webhook] = {}
    for id_, uri in named("--webhook", lambda: [_pair(text, "ID=URI") for text in texts]):
        known[id_] = Webhook(id=id_, uri=uri, name=id_, fields=chosen_fields or DEFAULT_FIELDS)
    for id_, secret in _each(secrets, known):
        known[id_] = replace(known[id_], secret=secret)
    for id_, style in _each(styles, known):
        meant = named("--webhook-style", lambda: member(Style, style))  # noqa: B023 -- called at once
        known[id_] = replace(known[id_], style=meant)
    return tuple(known.values())


def named(option: str, read: Callable[[], T]) -> T:
    """What `read` gives; where it raises WrongOption, that names the option."""
    try:
        return read()
    except WrongOption as wrong:
        raise WrongOption(f"{option}: {wrong}") from None


def member(kind: type[E], name: str) -> E:
    """The member of an enumeration that `name` means, whatever its case, with - or _."""
    wanted = name.strip().lower().replace("_", "-")
    for each in kind:
        if each.value.lower() == wanted:
            return each
    raise WrongOption(f"{name.strip()!r} is not one of: {', '.join(each.value.lower() for each in kind)}")


def _by_number(texts: Iterable[str]) -> Iterable[tuple[str, list[str]]]:
    for text in texts:
        number, names = _pair(text, "NUMBER=WORD[,WORD…]")
        yield number.removeprefix("+"), names.split(",")


def _pair(text: str, form: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value:
        raise WrongOption(f"{text!r} is not {form}")
    return name.strip(), value


def _each(texts: Iterable[str], known: Mapping[str, Webhook]) -> Iterable[tuple[str, str]]:
    # What is meant for one goes last, so that it wins over what is meant for all.
    named: list[tuple[str, str]] = []
    for text in texts:
        id_, sign, value = text.partition("=")
        if sign and id_ in known:
            named.append((id_, value))
        else:
            yield from ((each, text) for each in known)
    yield from named
