"""What is typed on the command line becomes values, and what is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from tracker.cli import app
from tracker.simulator import option_parsing
from tracker.simulator.options import SimulatorOptions, Webhook, WrongOption, uri_problem
from tracker.simulator.thundersms.vocabulary import Fault, Style, Word

LOCAL = "http://127.0.0.1:8000/callbacks/a"


def test_it_reads_a_mix() -> None:
    assert option_parsing.mix("answer=60, Busy=15.5") == {Word.ANSWER: 60, Word.BUSY: 15.5}


def test_it_reads_scripts_with_or_without_a_plus() -> None:
    assert option_parsing.outcomes(["+918919525224=busy,ANSWER"]) == {
        "918919525224": (Word.BUSY, Word.ANSWER)
    }
    assert option_parsing.scripted_faults(["918919525224=no_id,early"]) == {
        "918919525224": frozenset({Fault.no_id, Fault.early})
    }


def test_a_secret_or_style_is_for_all_or_for_one() -> None:
    one, two = option_parsing.webhooks(
        [f"a={LOCAL}?x=1", f"b={LOCAL}/b"],
        secrets=["b=mine=", "for=all"],
        styles=["composed-get", "a=composed-json"],
        fields=["call_id={{id}}"],
    )
    assert (one.uri, one.secret, one.style) == (f"{LOCAL}?x=1", "for=all", Style.composed_json)
    assert (two.uri, two.secret, two.style) == (f"{LOCAL}/b", "mine=", Style.composed_get)
    assert one.fields == {"call_id": "{{id}}"}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: option_parsing.mix("answered=60"), "answered"),
        (lambda: option_parsing.mix("answer"), "OUTCOME=WEIGHT"),
        (lambda: option_parsing.outcomes(["918919525224"]), "NUMBER="),
        (lambda: option_parsing.scripted_faults(["918919525224=dupliacte"]), "duplicate"),
        (lambda: option_parsing.webhooks([LOCAL.replace("=", "")]), "ID=URI"),
        (lambda: SimulatorOptions(speed=0), "speed"),
        (lambda: SimulatorOptions(speed=float("nan")), "speed"),
        (lambda: SimulatorOptions(port=70000), "port"),
        (lambda: SimulatorOptions(mix={Word.BUSY: 0}), "mix"),
        (lambda: SimulatorOptions(faults={Fault.late: 1.5}), "late"),
        (lambda: SimulatorOptions(outcomes={"+91": (Word.BUSY,)}), "+91"),
        (lambda: SimulatorOptions(subscribe="b"), "subscribe"),
        (
            lambda: SimulatorOptions(webhooks=(Webhook(id="a", uri=LOCAL), Webhook(id="a", uri=LOCAL))),
            "twice",
        ),
        (lambda: SimulatorOptions(webhooks=(Webhook(id="a", uri="https://example.com/"),)), "allow-remote"),
    ],
)
def test_what_is_wrong_is_named(wrong: Callable[[], Any], named: str) -> None:
    with pytest.raises(WrongOption, match=named.replace("+", r"\+")):
        wrong()


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1/", "http://127.9.9.9/", "https://localhost/x?y", "http://[::1]:80/"]
)
def test_this_machine_may_be_posted_to(uri: str) -> None:
    assert uri_problem(uri, allow_remote=False) is None


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
def test_strangers_may_not_be_posted_to_unless_allowed(uri: str) -> None:
    assert uri_problem(uri, allow_remote=False)
    assert uri_problem(uri, allow_remote=True) is None


@pytest.mark.parametrize(
    "uri", ["", "ftp://127.0.0.1/", "http://", "127.0.0.1:80", "http://[::1", "http://a:b/"]
)
def test_what_is_no_address_never_is(uri: str) -> None:
    assert uri_problem(uri, allow_remote=True)


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
def test_the_command_names_the_option_that_is_wrong(option: str, value: str) -> None:
    result = CliRunner().invoke(app, ["simulate", option, value])
    assert (result.exit_code, result.stdout) == (2, "")
    assert option in result.stderr
