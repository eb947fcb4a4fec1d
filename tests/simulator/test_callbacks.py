"""What the webhooks get: every style, every fault, and repeats until it is taken."""

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

from tests.simulator.provider import BRIDGE, CALLEE, TOKEN, simulated
from tracker.simulator.options import DEFAULT_FIELDS, Webhook
from tracker.simulator.thundersms.vocabulary import Fault, Mid, Style, Word

OTHER = "918919520002"


def bodies(callbacks: Iterable[httpx.Request]) -> list[dict[str, Any]]:
    return [json.loads(each.content) for each in callbacks]


def test_the_default_push_is_as_documented() -> None:
    with simulated() as provider:
        provider.send()
        [callback] = provider.settle()
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


def test_the_default_push_names_no_submission() -> None:
    with simulated() as provider:
        provider.send()
        [callback] = provider.settle()
        assert provider.calls()[0]["submission_id"].removesuffix(":1") not in str(
            bodies([callback])[0]["mid"]
        )


def test_mid_can_be_the_submission_id() -> None:
    with simulated(mid=Mid.submission) as provider:
        provider.send()
        [body] = bodies(provider.settle())
        assert body["mid"] + ":1" == provider.calls()[0]["submission_id"]


@pytest.mark.parametrize(
    ("fault", "hours"), [((), timedelta(hours=5, minutes=30)), ((Fault.wrong_zone,), timedelta(0))]
)
def test_times_are_those_of_the_real_event(fault: tuple[Fault, ...], hours: timedelta) -> None:
    with simulated(script=fault) as provider:
        provider.send()
        [body] = bodies(provider.settle())
        ended = datetime.fromisoformat(provider.calls()[0]["dials"][0]["ended_at"])
    written = datetime.fromisoformat(body["end_at"]).replace(tzinfo=UTC)
    assert written - hours == ended.replace(microsecond=0)


def test_nobody_answered_means_no_duration_and_no_recording() -> None:
    for word in (Word.BUSY, Word.NOANSWER, Word.CANCEL, Word.CONGESTION, Word.CHANUNAVAIL):
        with simulated(outcome=(word,)) as provider:
            provider.send()
            [body] = bodies(provider.settle())
            assert (body["status"], body["duration"], body["recording_url"]) == (word.value, "0", "")


async def _form(callback: httpx.Request) -> dict[str, str]:
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
        (Style.composed_get, "GET", Fault.composed_get),
        (Style.composed_put, "PUT", Fault.composed_put),
        (Style.composed_form, "POST", Fault.composed_form),
        (Style.composed_multipart, "POST", Fault.composed_multipart),
        (Style.composed_json, "POST", None),
    ],
)
def test_a_composed_webhook_carries_the_id(
    style: Style, method: str, fault: Fault | None, by_fault: bool
) -> None:
    script = (fault,) if by_fault and fault else ()
    with simulated(style=Style.default if script else style, script=script) as provider:
        provider.send()
        [callback] = provider.settle()
        uuid = provider.calls()[0]["submission_id"].removesuffix(":1")
    assert callback.method == method
    assert callback.headers["authorization"] == "Bearer s3cret"
    match style:
        case Style.composed_get:
            found = dict(callback.url.params)
            assert callback.content == b""
        case Style.composed_form:
            found = dict(parse_qsl(callback.content.decode(), keep_blank_values=True))
        case Style.composed_multipart:
            found = asyncio.run(_form(callback))
        case _:
            found = json.loads(callback.content)
    assert found.keys() == DEFAULT_FIELDS.keys()
    assert (found["id"], found["to"], found["status"]) == (uuid, CALLEE, "ANSWER")


def test_the_keys_and_the_address_are_the_owners_own() -> None:
    fields = {"call_id": "@{{ outgoing.id }}", "ref": "{{custom}}", "n": "{{nothing}}", "who": "{{Name}}"}
    uri = "http://127.0.0.1:9/in?a=b&id={{id}}"
    webhook = Webhook(id="hook", uri=uri, style=Style.composed_get, fields=fields)
    with simulated(webhook=webhook) as provider:
        provider.send(custom="sub_01&x", **{"variables[Name]": "Asha Rao"})
        [callback] = provider.settle()
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


def test_a_quote_in_a_variable_breaks_the_json_as_with_the_real_one() -> None:
    webhook = Webhook(
        id="hook", uri="http://127.0.0.1:9/", style=Style.composed_json, fields={"who": "{{Name}}"}
    )
    with simulated(webhook=webhook) as provider:
        provider.send(**{"variables[Name]": 'Asha "Ash" Rao'})
        [callback] = provider.settle()
    assert b'"Asha "Ash" Rao"' in callback.content


@pytest.mark.parametrize("style", [Style.default, Style.composed_json])
def test_broken_json_is_broken_and_a_trailing_comma_can_be_mended(style: Style) -> None:
    with simulated(style=style, script=(Fault.trailing_comma,)) as provider:
        provider.send()
        [callback] = provider.settle()
    with pytest.raises(ValueError):
        json.loads(callback.content)
    assert json.loads(callback.content.replace(b",\n}", b"}"))["status"] == "ANSWER"
    with simulated(style=style, script=(Fault.broken_json,)) as provider:
        provider.send()
        [callback] = provider.settle()
    with pytest.raises(ValueError):
        json.loads(callback.content)
    assert b'"hello"' in callback.content


def test_no_id_pushes_the_default_also_where_the_webhook_is_composed() -> None:
    with simulated(style=Style.composed_get, script=(Fault.no_id,)) as provider:
        provider.send()
        [body] = bodies(provider.settle())
        assert body["source"] == "OBD"
        assert "id" not in body


def test_a_duplicate_comes_twice_byte_for_byte() -> None:
    with simulated(script=(Fault.duplicate,)) as provider:
        provider.send()
        one, two = provider.settle()
        assert one.content == two.content


def test_never_is_never() -> None:
    with simulated(script=(Fault.never, Fault.duplicate)) as provider:
        provider.send()
        assert provider.settle() == []
        assert provider.calls()[0]["dials"][0]["status"] == "ANSWER"


def test_an_early_callback_is_there_before_the_answer() -> None:
    with simulated(script=(Fault.early,), speed=0.001) as provider:
        answer = provider.send()
        [body] = bodies(provider.callbacks)
        assert (answer.json()["status"], body["status"]) == (200, "ANSWER")


def test_an_early_callback_does_not_wait_for_one_that_goes_nowhere() -> None:
    with simulated(script=(Fault.early,), speed=0.001) as provider:
        assert provider.send(webhook_id=None).json()["status"] == 200
        assert provider.callbacks == []


def test_a_late_callback_comes_after_those_of_later_calls() -> None:
    with simulated(script=(Fault.late,), late_by_s=2000.0, outcomes={OTHER: (Word.BUSY,)}) as provider:
        provider.send()
        provider.send(OTHER)
        assert [body["to"] for body in bodies(provider.settle())] == [int(OTHER), int(CALLEE)]


def test_an_overtaken_callback_comes_after_another_calls() -> None:
    outcomes = {CALLEE: (Word.CHANUNAVAIL,), OTHER: (Word.NOANSWER,)}
    with simulated(script=(Fault.out_of_order,), outcomes=outcomes, speed=20.0) as provider:
        provider.send()
        provider.send(OTHER)
        assert [body["to"] for body in bodies(provider.settle())] == [int(OTHER), int(CALLEE)]


def test_an_overtaken_callback_comes_even_if_nothing_overtakes_it() -> None:
    with simulated(script=(Fault.out_of_order,)) as provider:
        provider.send()
        assert len(provider.settle()) == 1


def test_an_interval_redials_until_somebody_answers() -> None:
    with simulated(outcome=(Word.BUSY, Word.ANSWER)) as provider:
        provider.send(interval=5)
        found = bodies(provider.settle())
        assert [body["status"] for body in found] == ["BUSY", "ANSWER"]
        assert found[0]["start_at"] < found[1]["start_at"], "two dials differ in their times"
        id_ = provider.calls()[0]["submission_id"]
        rows = provider.get(f"outgoing/callstatus?id={id_}").json()["data"]
        assert [row["status"] for row in rows] == ["BUSY", "ANSWER"]


def test_dials_out_of_order_come_last_first() -> None:
    with simulated(script=(Fault.out_of_order,), outcome=(Word.BUSY, Word.NOANSWER)) as provider:
        provider.send(interval=5)
        assert [body["status"] for body in bodies(provider.settle())] == ["NOANSWER", "NOANSWER", "BUSY"]


@pytest.mark.parametrize("code", [201, 204, 301, 401, 500])
def test_only_200_and_202_count_and_there_are_three_attempts(code: int) -> None:
    with simulated(receiver=lambda _: httpx.Response(code)) as provider:
        provider.send()
        assert len(provider.settle()) == 3
        attempts = provider.calls()[0]["callbacks"]
        assert [(each["attempt"], each["status_code"]) for each in attempts] == [
            (1, code),
            (2, code),
            (3, code),
        ]


def test_it_stops_repeating_once_it_is_taken() -> None:
    codes = iter([500, 202])
    with simulated(receiver=lambda _: httpx.Response(next(codes))) as provider:
        provider.send()
        assert len(provider.settle()) == 2


def test_a_receiver_that_cannot_be_reached_is_tried_again() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with simulated(receiver=refuse) as provider:
        provider.send()
        assert len(provider.settle()) == 3
        assert {each["error"] for each in provider.calls()[0]["callbacks"]} == {"ConnectError"}


def test_a_subscription_gets_what_names_no_webhook_and_nothing_twice() -> None:
    with simulated(subscribe="hook") as provider:
        provider.send(webhook_id=None)
        provider.send(OTHER)
        assert len(provider.settle()) == 2


def test_two_runs_of_one_seed_send_the_same_callbacks_but_for_their_times() -> None:
    def run(seed: int) -> list[tuple[object, ...]]:
        numbers = [str(918900000000 + i) for i in range(12)]
        faults = {Fault.duplicate: 0.3, Fault.never: 0.2, Fault.no_id: 0.3, Fault.composed_form: 0.2}
        with simulated(style=Style.composed_json, seed=seed, faults=faults) as provider:
            for number in numbers:
                assert provider.send(number).status_code == 200
            provider.settle()
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


def test_without_the_token_nothing_is_dialled() -> None:
    with simulated() as provider:
        wish = {"bridge": BRIDGE, "to": CALLEE, "flow_id": "1"}
        provider.http.post("/api/v2/outgoing/send", json=wish, headers={**TOKEN, "Authorization": "Bearer x"})
        assert provider.calls() == []
        [kept] = provider.http.get("/simulator/requests").json()["data"]
        assert (kept["method"], kept["path"], kept["status_code"]) == ("POST", "/api/v2/outgoing/send", 401)
