"""The callbacks that webhooks get: every style, every fault, and repeats until one is accepted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import httpx
import pytest
from starlette.requests import Request

from tests.simulator.simulated_provider import BRIDGE, CALLEE, TOKEN, simulated
from tracker.simulator.options import DEFAULT_FIELDS, Webhook
from tracker.simulator.thundersms.vocabulary import CallbackStyle, Fault, MidContent, Outcome

OTHER = "918919520002"


def bodies(callbacks: Iterable[httpx.Request]) -> list[dict[str, Any]]:
    """Return the bodies of these callbacks, which are JSON."""
    return [json.loads(each.content) for each in callbacks]


def test_default_push_is_as_documented() -> None:
    with simulated() as provider:
        provider.send()
        [callback] = provider.wait_until_idle()
        [body] = bodies([callback])
    assert callback.method == "POST"
    assert callback.headers["authorization"] == "Bearer s3cret"
    assert callback.headers["content-type"] == "application/json"
    assert list(body) == [
        *("bridge", "from", "to", "source", "mid", "flow_id", "start_at", "end_at"),
        *("duration", "status", "recording_url"),
    ]
    assert (body["to"], body["bridge"], body["flow_id"]) == (int(CALLEE), int(BRIDGE), 23)
    assert (body["source"], body["status"]) == ("OBD", "ANSWER")
    assert int(body["duration"]) > 0
    assert body["recording_url"].startswith("https://recordings.simulated.invalid/")


def test_default_push_names_no_submission() -> None:
    with simulated() as provider:
        provider.send()
        [callback] = provider.wait_until_idle()
        assert provider.calls()[0]["submission_id"].removesuffix(":1") not in str(
            bodies([callback])[0]["mid"]
        )


def test_mid_can_be_the_submission_id() -> None:
    with simulated(mid=MidContent.submission) as provider:
        provider.send()
        [body] = bodies(provider.wait_until_idle())
        assert body["mid"] + ":1" == provider.calls()[0]["submission_id"]


@pytest.mark.parametrize(
    ("fault", "hours"), [((), timedelta(hours=5, minutes=30)), ((Fault.wrong_zone,), timedelta(0))]
)
def test_callback_times_are_those_of_the_dial(fault: tuple[Fault, ...], hours: timedelta) -> None:
    with simulated(callee_faults=fault) as provider:
        provider.send()
        [body] = bodies(provider.wait_until_idle())
        ended = datetime.fromisoformat(provider.calls()[0]["dials"][0]["ended_at"])
    written = datetime.fromisoformat(body["end_at"]).replace(tzinfo=UTC)
    assert written - hours == ended.replace(microsecond=0)


def test_unanswered_dial_has_no_duration_and_no_recording() -> None:
    for outcome in (Outcome.BUSY, Outcome.NOANSWER, Outcome.CANCEL, Outcome.CONGESTION, Outcome.CHANUNAVAIL):
        with simulated(callee_outcomes=(outcome,)) as provider:
            provider.send()
            [body] = bodies(provider.wait_until_idle())
            assert (body["status"], body["duration"], body["recording_url"]) == (outcome.value, "0", "")


async def parse_form(callback: httpx.Request) -> dict[str, str]:
    """Parse a form as an independent implementation does."""
    headers = [(name.lower(), value) for name, value in callback.headers.raw]
    done = iter([{"type": "http.request", "body": callback.content, "more_body": False}])

    async def receive() -> Any:
        return next(done)

    form = await Request({"type": "http", "method": "POST", "headers": headers}, receive).form()
    return {name: str(value) for name, value in form.items()}


@pytest.mark.parametrize("by_fault", [False, True])
@pytest.mark.parametrize(
    ("style", "method", "fault"),
    [
        (CallbackStyle.composed_get, "GET", Fault.composed_get),
        (CallbackStyle.composed_put, "PUT", Fault.composed_put),
        (CallbackStyle.composed_form, "POST", Fault.composed_form),
        (CallbackStyle.composed_multipart, "POST", Fault.composed_multipart),
        (CallbackStyle.composed_json, "POST", None),
    ],
)
def test_composed_webhook_carries_the_id(
    style: CallbackStyle, method: str, fault: Fault | None, by_fault: bool
) -> None:
    script = (fault,) if by_fault and fault else ()
    with simulated(style=CallbackStyle.default if script else style, callee_faults=script) as provider:
        provider.send()
        [callback] = provider.wait_until_idle()
        uuid = provider.calls()[0]["submission_id"].removesuffix(":1")
    assert callback.method == method
    assert callback.headers["authorization"] == "Bearer s3cret"
    match style:
        case CallbackStyle.composed_get:
            found = dict(callback.url.params)
            assert callback.content == b""
        case CallbackStyle.composed_form:
            found = dict(parse_qsl(callback.content.decode(), keep_blank_values=True))
        case CallbackStyle.composed_multipart:
            found = asyncio.run(parse_form(callback))
        case _:
            found = json.loads(callback.content)
    assert found.keys() == DEFAULT_FIELDS.keys()
    assert (found["id"], found["to"], found["status"]) == (uuid, CALLEE, "ANSWER")


def test_webhook_fields_and_address_are_filled() -> None:
    fields = {"call_id": "@{{ outgoing.id }}", "ref": "{{custom}}", "n": "{{nothing}}", "who": "{{Name}}"}
    uri = "http://127.0.0.1:9/in?a=b&id={{id}}"
    webhook = Webhook(id="hook", uri=uri, style=CallbackStyle.composed_get, fields=fields)
    with simulated(webhook=webhook) as provider:
        provider.send(custom="sub_01&x", **{"variables[Name]": "Asha Rao"})
        [callback] = provider.wait_until_idle()
        id_ = provider.calls()[0]["submission_id"]
    assert parse_qs(callback.url.query.decode()) == {
        "a": ["b"],
        "id": [id_.removesuffix(":1")],
        "call_id": [id_],
        "ref": ["sub_01&x"],
        "n": ["{{nothing}}"],
        "who": ["Asha Rao"],
    }
    assert "authorization" not in callback.headers


def test_quote_in_a_variable_breaks_composed_json() -> None:
    webhook = Webhook(
        id="hook", uri="http://127.0.0.1:9/", style=CallbackStyle.composed_json, fields={"who": "{{Name}}"}
    )
    with simulated(webhook=webhook) as provider:
        provider.send(**{"variables[Name]": 'Asha "Ash" Rao'})
        [callback] = provider.wait_until_idle()
    assert b'"Asha "Ash" Rao"' in callback.content


@pytest.mark.parametrize("style", [CallbackStyle.default, CallbackStyle.composed_json])
def test_broken_json_and_trailing_comma_spoil_the_body(style: CallbackStyle) -> None:
    with simulated(style=style, callee_faults=(Fault.trailing_comma,)) as provider:
        provider.send()
        [callback] = provider.wait_until_idle()
    with pytest.raises(ValueError):
        json.loads(callback.content)
    assert json.loads(callback.content.replace(b",\n}", b"}"))["status"] == "ANSWER"
    with simulated(style=style, callee_faults=(Fault.broken_json,)) as provider:
        provider.send()
        [callback] = provider.wait_until_idle()
    with pytest.raises(ValueError):
        json.loads(callback.content)
    assert b'"hello"' in callback.content


def test_no_id_sends_a_default_push_to_a_composed_webhook() -> None:
    with simulated(style=CallbackStyle.composed_get, callee_faults=(Fault.no_id,)) as provider:
        provider.send()
        [body] = bodies(provider.wait_until_idle())
        assert body["source"] == "OBD"
        assert "id" not in body


def test_duplicate_callback_comes_twice_byte_for_byte() -> None:
    with simulated(callee_faults=(Fault.duplicate,)) as provider:
        provider.send()
        one, two = provider.wait_until_idle()
        assert one.content == two.content


def test_never_sends_no_callback() -> None:
    with simulated(callee_faults=(Fault.never, Fault.duplicate)) as provider:
        provider.send()
        assert provider.wait_until_idle() == []
        assert provider.calls()[0]["dials"][0]["status"] == "ANSWER"


def test_early_callback_comes_before_the_answer() -> None:
    with simulated(callee_faults=(Fault.early,), speed=0.001) as provider:
        answer = provider.send()
        [body] = bodies(provider.callbacks)
        assert (answer.json()["status"], body["status"]) == (200, "ANSWER")


def test_early_call_without_webhook_is_answered_at_once() -> None:
    with simulated(callee_faults=(Fault.early,), speed=0.001) as provider:
        assert provider.send(webhook_id=None).json()["status"] == 200
        assert provider.callbacks == []


def test_late_callback_comes_after_those_of_later_calls() -> None:
    with simulated(
        callee_faults=(Fault.late,), late_by_s=2000.0, outcomes={OTHER: (Outcome.BUSY,)}
    ) as provider:
        provider.send()
        provider.send(OTHER)
        assert [body["to"] for body in bodies(provider.wait_until_idle())] == [int(OTHER), int(CALLEE)]


def test_overtaken_callback_comes_after_another_call() -> None:
    outcomes = {CALLEE: (Outcome.CHANUNAVAIL,), OTHER: (Outcome.NOANSWER,)}
    with simulated(callee_faults=(Fault.out_of_order,), outcomes=outcomes, speed=20.0) as provider:
        provider.send()
        provider.send(OTHER)
        assert [body["to"] for body in bodies(provider.wait_until_idle())] == [int(OTHER), int(CALLEE)]


def test_overtaken_callback_comes_if_nothing_overtakes_it() -> None:
    with simulated(callee_faults=(Fault.out_of_order,)) as provider:
        provider.send()
        assert len(provider.wait_until_idle()) == 1


def test_interval_redials_until_a_dial_is_answered() -> None:
    with simulated(callee_outcomes=(Outcome.BUSY, Outcome.ANSWER)) as provider:
        provider.send(interval=5)
        found = bodies(provider.wait_until_idle())
        assert [body["status"] for body in found] == ["BUSY", "ANSWER"]
        assert found[0]["start_at"] < found[1]["start_at"], "two dials differ in their times"
        id_ = provider.calls()[0]["submission_id"]
        rows = provider.get(f"outgoing/callstatus?id={id_}").json()["data"]
        assert [row["status"] for row in rows] == ["BUSY", "ANSWER"]


def test_callbacks_of_dials_out_of_order_come_last_first() -> None:
    with simulated(
        callee_faults=(Fault.out_of_order,), callee_outcomes=(Outcome.BUSY, Outcome.NOANSWER)
    ) as provider:
        provider.send(interval=5)
        assert [body["status"] for body in bodies(provider.wait_until_idle())] == [
            "NOANSWER",
            "NOANSWER",
            "BUSY",
        ]


@pytest.mark.parametrize("code", [201, 204, 301, 401, 500])
def test_callback_is_tried_three_times_unless_200_or_202(code: int) -> None:
    with simulated(receiver=lambda _: httpx.Response(code)) as provider:
        provider.send()
        assert len(provider.wait_until_idle()) == 3
        attempts = provider.calls()[0]["callbacks"]
        assert [(each["attempt"], each["status_code"]) for each in attempts] == [
            (1, code),
            (2, code),
            (3, code),
        ]


def test_callback_is_not_repeated_after_a_202() -> None:
    codes = iter([500, 202])
    with simulated(receiver=lambda _: httpx.Response(next(codes))) as provider:
        provider.send()
        assert len(provider.wait_until_idle()) == 2


def test_unreachable_receiver_is_tried_again() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with simulated(receiver=refuse) as provider:
        provider.send()
        assert len(provider.wait_until_idle()) == 3
        assert {each["error"] for each in provider.calls()[0]["callbacks"]} == {"ConnectError"}


def test_subscribed_webhook_gets_every_outcome_once() -> None:
    with simulated(subscribe="hook") as provider:
        provider.send(webhook_id=None)
        provider.send(OTHER)
        assert len(provider.wait_until_idle()) == 2


def test_two_runs_with_one_seed_send_the_same_callbacks() -> None:
    def run(seed: int) -> list[tuple[object, ...]]:
        numbers = [str(918900000000 + i) for i in range(12)]
        faults = {Fault.duplicate: 0.3, Fault.never: 0.2, Fault.no_id: 0.3, Fault.composed_form: 0.2}
        with simulated(style=CallbackStyle.composed_json, seed=seed, faults=faults) as provider:
            for number in numbers:
                assert provider.send(number).status_code == 200
            provider.wait_until_idle()
            return [
                (
                    call["submission_id"],
                    call["outcome"],
                    call["faults"],
                    [c["style"] for c in call["callbacks"]],
                )
                for call in provider.calls()
            ]

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_request_without_token_is_recorded_but_not_dialled() -> None:
    with simulated() as provider:
        body = {"bridge": BRIDGE, "to": CALLEE, "flow_id": "1"}
        provider.http.post("/api/v2/outgoing/send", json=body, headers={**TOKEN, "Authorization": "Bearer x"})
        assert provider.calls() == []
        [kept] = provider.http.get("/simulator/requests").json()["data"]
        assert (kept["method"], kept["path"], kept["status_code"]) == ("POST", "/api/v2/outgoing/send", 401)
