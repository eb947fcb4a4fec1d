"""The options of `tracker simulate`: each has a flag, is parsed, and is named when its value is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from typer.testing import CliRunner

from tracker.cli.commands import app
from tracker.cli.commands.setup.simulate import simulate
from tracker.simulator import option_parsing
from tracker.simulator.options import InvalidOption, SimulatorOptions, Webhook, find_uri_problem
from tracker.simulator.thundersms.vocabulary import CallbackStyle, Fault, Outcome

#: options whose flag has another name, or that come from several flags
IRREGULAR_FLAGS = {"outcomes": "outcome", "scripted_faults": "fault", "webhooks": "webhook"}
LOCAL = "http://127.0.0.1:8000/callbacks/a"


def test_every_fault_and_every_option_has_a_flag() -> None:
    flags = set(inspect.signature(simulate).parameters)
    assert {fault.value.replace("-", "_") for fault in Fault} <= flags
    names = {
        IRREGULAR_FLAGS.get(each.name, each.name.removesuffix("_s")) for each in fields(SimulatorOptions)
    }
    assert names - {"faults"} <= flags


def test_mix_is_parsed() -> None:
    assert option_parsing.parse_mix("answer=60, Busy=15.5") == {Outcome.ANSWER: 60, Outcome.BUSY: 15.5}


def test_scripts_are_parsed_with_or_without_a_plus() -> None:
    assert option_parsing.parse_outcomes(["+918919525224=busy,ANSWER"]) == {
        "918919525224": (Outcome.BUSY, Outcome.ANSWER)
    }
    assert option_parsing.parse_scripted_faults(["918919525224=no_id,early"]) == {
        "918919525224": frozenset({Fault.no_id, Fault.early})
    }


def test_secret_or_style_is_for_all_webhooks_or_for_one() -> None:
    one, two = option_parsing.parse_webhooks(
        [f"a={LOCAL}?x=1", f"b={LOCAL}/b"],
        secrets=["b=mine=", "for=all"],
        styles=["composed-get", "a=composed-json"],
        fields=["call_id={{id}}"],
    )
    assert (one.uri, one.secret, one.style) == (f"{LOCAL}?x=1", "for=all", CallbackStyle.composed_json)
    assert (two.uri, two.secret, two.style) == (f"{LOCAL}/b", "mine=", CallbackStyle.composed_get)
    assert one.fields == {"call_id": "{{id}}"}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: option_parsing.parse_mix("answered=60"), "answered"),
        (lambda: option_parsing.parse_mix("answer"), "OUTCOME=WEIGHT"),
        (lambda: option_parsing.parse_outcomes(["918919525224"]), "NUMBER="),
        (lambda: option_parsing.parse_scripted_faults(["918919525224=dupliacte"]), "duplicate"),
        (lambda: option_parsing.parse_webhooks([LOCAL.replace("=", "")]), "ID=URI"),
        (lambda: SimulatorOptions(speed=0), "speed"),
        (lambda: SimulatorOptions(speed=float("nan")), "speed"),
        (lambda: SimulatorOptions(port=70000), "port"),
        (lambda: SimulatorOptions(mix={Outcome.BUSY: 0}), "mix"),
        (lambda: SimulatorOptions(faults={Fault.late: 1.5}), "late"),
        (lambda: SimulatorOptions(outcomes={"+91": (Outcome.BUSY,)}), "+91"),
        (lambda: SimulatorOptions(subscribe="b"), "subscribe"),
        (
            lambda: SimulatorOptions(webhooks=(Webhook(id="a", uri=LOCAL), Webhook(id="a", uri=LOCAL))),
            "twice",
        ),
        (lambda: SimulatorOptions(webhooks=(Webhook(id="a", uri="https://example.com/"),)), "allow-remote"),
    ],
)
def test_wrong_value_is_named(wrong: Callable[[], Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=named.replace("+", r"\+")):
        wrong()


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1/", "http://127.9.9.9/", "https://localhost/x?y", "http://[::1]:80/"]
)
def test_loopback_addresses_are_accepted(uri: str) -> None:
    assert find_uri_problem(uri, allow_remote=False) is None


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.com/",
        "http://10.0.0.1/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "http://0.0.0.0/",
        "http://localhost.example.com/",
    ],
)
def test_other_hosts_are_refused_unless_allowed(uri: str) -> None:
    assert find_uri_problem(uri, allow_remote=False)
    assert find_uri_problem(uri, allow_remote=True) is None


@pytest.mark.parametrize(
    "uri", ["", "ftp://127.0.0.1/", "http://", "127.0.0.1:80", "http://[::1", "http://a:b/"]
)
def test_text_that_is_no_address_is_always_refused(uri: str) -> None:
    assert find_uri_problem(uri, allow_remote=True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--mix", "answered=60"),
        ("--mix", "answer"),
        ("--mix", "answer=-1"),
        ("--outcome", "918919525224"),
        ("--outcome", "1=busy"),
        ("--fault", "918919525224=dupliacte"),
        ("--fault", "1=early"),
        ("--generation", "middle"),
        ("--mid", "a"),
        ("--pending", "a"),
        ("--webhook", "a"),
        ("--webhook", "a=b"),
        ("--webhook-style", "a"),
        ("--webhook-field", "a"),
        ("--subscribe", "a"),
        ("--speed", "0"),
        ("--late-by", "-1"),
        ("--callback-timeout", "0"),
        ("--port", "70000"),
    ],
)
def test_command_names_the_wrong_option(option: str, value: str) -> None:
    result = CliRunner().invoke(app, ["simulate", option, value])
    assert (result.exit_code, result.stdout) == (2, "")
    assert option in result.stderr
