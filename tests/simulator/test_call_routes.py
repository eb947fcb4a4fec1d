"""The answers of the API to requests about calls, in both generations."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.simulated_provider import BRIDGE, CALLEE, TOKEN, simulated
from tracker.simulator.options import Webhook
from tracker.simulator.thundersms.vocabulary import Fault, Generation, Outcome, PendingAnswer

PAYLOADS = Path(__file__).parent.parent / "payloads" / "thundersms"


def documented(name: str) -> Any:
    """Return the body of a sample from the provider's documents."""
    return json.loads(json.loads((PAYLOADS / f"{name}.json").read_text())["body"])


@pytest.mark.parametrize("generation", Generation)
def test_send_is_answered_in_the_documented_shape(generation: Generation) -> None:
    with simulated(generation=generation) as provider:
        answer = provider.send()
        body, sample = answer.json(), documented(f"api_send_response_{generation.value}")
        assert answer.status_code == 200
        assert body.keys() == sample.keys()
        assert (body["status"], body["message"]) == (sample["status"], sample["message"])
        row, sample_row = body["data"][0], sample["data"][0]
        assert list(row) == list(sample_row)
        assert {key: type(value) for key, value in row.items()} == {
            key: type(value) for key, value in sample_row.items()
        }
        assert re.fullmatch(r"[0-9a-f-]{36}(:1)?", row["id"])
        assert row["id"].endswith(":1") is (generation is Generation.old)


def test_old_answer_is_in_indian_time() -> None:
    with simulated(generation=Generation.old) as provider:
        written = datetime.fromisoformat(provider.send().json()["data"][0]["submitted_at"])
        accepted = datetime.fromisoformat(provider.calls()[0]["accepted_at"]).replace(
            tzinfo=None, microsecond=0
        )
        assert written - accepted == timedelta(hours=5, minutes=30)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_documented_requests_are_accepted(n: int) -> None:
    with simulated() as provider:
        body = documented(f"request_seed_{n}")
        answer = provider.http.post("/api/v2/outgoing/send", json=body, headers=TOKEN)
        assert answer.json()["status"] == 200
        recorded = provider.http.get("/simulator/requests").json()["data"]
        assert [json.loads(each["body"]) for each in recorded] == [body]


@pytest.mark.parametrize(
    ("kind", "variables"),
    [
        ("json", {"variables[Name]": "Asha", "variables[otp]": "1234"}),
        ("json", {"variables": {"Name": "Asha", "otp": 1234}}),
        ("form", {"variables[Name]": "Asha", "variables[otp]": "1234"}),
    ],
)
def test_variables_are_read_in_every_encoding(kind: str, variables: dict[str, Any]) -> None:
    uri = "http://127.0.0.1:9/?name={{Name}}&otp=@{{variables.otp}}&none={{other}}"
    body = {"bridge": BRIDGE, "to": CALLEE, "flow_id": "23", "webhook_id": "hook", **variables}
    with simulated(webhook=Webhook(id="hook", uri=uri)) as provider:
        json_body, form = (body, None) if kind == "json" else (None, body)
        answer = provider.http.post("/api/v2/outgoing/send", headers=TOKEN, json=json_body, data=form)
        assert answer.status_code == 200
        [callback] = provider.wait_until_idle()
        assert dict(callback.url.params) == {"name": "Asha", "otp": "1234", "none": "{{other}}"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": ""}, "to"),
        ({"to": "+91 89195 25224"}, "to"),
        ({"to": "91886713XXXX"}, "to"),
        ({"bridge": None}, "bridge"),
        ({"flow_id": None}, "flow_id"),
        ({"audio": "x"}, "flow_id"),
        ({"interval": 7}, "interval"),
        ({"webhook_id": "nobody"}, "webhook_id"),
        ({"variables": "x"}, "variables"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, Any], field: str) -> None:
    with simulated() as provider:
        answer = provider.send(**{"to": CALLEE, **change})
        assert answer.status_code == 422
        assert list(answer.json()["errors"]) == [field]
        assert provider.calls() == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"[" * 100_000, b"\xff"])
def test_body_that_is_no_object_is_refused(body: bytes) -> None:
    with simulated() as provider:
        headers = {**TOKEN, "Content-Type": "application/json"}
        answer = provider.http.post("/api/v2/outgoing/send", content=body, headers=headers)
        assert answer.status_code == 400


def test_bad_token_is_redirected_to_a_login_page() -> None:
    with simulated() as provider:
        answer = provider.http.get("/api/v2/auth/me", headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 302
        page = provider.http.get(answer.headers["location"])
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")


def test_bad_token_is_answered_401_when_json_is_accepted() -> None:
    with simulated() as provider:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic simulated-token"}):
            answer = provider.http.post(
                "/api/v2/outgoing/send", json={}, headers={"Accept": "application/json", **header}
            )
            assert answer.status_code == 401
            assert answer.json()["message"] == "Unauthenticated."


def test_token_in_the_query_is_accepted() -> None:
    with simulated() as provider:
        assert provider.http.get("/api/v2/auth/me?access_token=simulated-token").json()["status"] == 200


def test_unknown_path_is_answered_in_json() -> None:
    with simulated() as provider:
        assert provider.get("finance/nothing").status_code == 404
        assert provider.get("finance/nothing").json()["status"] == 404


@pytest.mark.parametrize("generation", Generation)
def test_callstatus_has_one_row_for_each_dial_in_utc(generation: Generation) -> None:
    with simulated(generation=generation, callee_outcomes=(Outcome.BUSY,)) as provider:
        id_ = provider.send(customid="mine").json()["data"][0]["id"]
        provider.wait_until_idle()
        [row] = provider.get(f"outgoing/callstatus?id={id_}").json()["data"]
        assert (row["id"], row["status"]) == (id_, "BUSY")
        for query in (f"id={id_.upper()}", f"mobile={CALLEE}", "cid=mine"):
            assert provider.get(f"outgoing/callstatus?{query}").json()["data"] == [row]
        ended = provider.calls()[0]["dials"][0]["ended_at"]
        assert row["end_at"] == ended[:19].replace("T", " ")
        if generation is Generation.old:
            assert list(row) == list(documented("api_callstatus_old")["data"][0])
            assert row["duration"] == "00:00:00"
        today = ended[:10]
        assert len(provider.get(f"outgoing/callstatus?date={today}").json()["data"]) == 1
        assert provider.get("outgoing/callstatus?date=2001-01-01").json()["data"] == []


@pytest.mark.parametrize(
    ("pending", "code", "rows"),
    [(PendingAnswer.empty, 200, 0), (PendingAnswer.not_found, 404, None), (PendingAnswer.queued, 200, 1)],
)
def test_callstatus_of_a_ringing_call_is_as_chosen(
    pending: PendingAnswer, code: int, rows: int | None
) -> None:
    with simulated(pending=pending, speed=0.01) as provider:
        id_ = provider.send().json()["data"][0]["id"]
        answer = provider.get(f"outgoing/callstatus?id={id_}")
        assert answer.status_code == code
        data = answer.json().get("data")
        assert (None if data is None else len(data)) == rows
        if data:
            assert data[0]["status"] == "queued"


def test_callstatus_without_a_filter_is_refused() -> None:
    with simulated() as provider:
        assert provider.get("outgoing/callstatus").status_code == 422
        assert provider.get("outgoing/callstatus?id=70fa87e0").status_code in (200, 404)


def test_no_balance_has_three_shapes_and_nothing_is_dialled() -> None:
    with simulated(faults={Fault.no_balance: 1.0}) as provider:
        answers = [provider.send() for _ in range(30)]
        assert {answer.status_code for answer in answers} == {200, 400, 402}
        assert all("nsufficient balance" in answer.text for answer in answers)
        assert not any(answer.json()["status"] in (200, "200", "OK") for answer in answers)
        assert provider.calls() == []
        assert provider.http.get("/simulator/calls").json()["refused"] == {"no-balance": 30}


def test_429_has_two_shapes_and_nothing_is_dialled() -> None:
    with simulated(faults={Fault.rate_limit: 1.0}, retry_after_s=7) as provider:
        answers = [provider.send() for _ in range(20)]
        assert {answer.status_code for answer in answers} == {429}
        assert {answer.headers.get("retry-after") for answer in answers} == {"7", None}
        assert provider.calls() == []


def test_call_is_dialled_despite_a_500() -> None:
    with simulated(callee_faults=(Fault.error_after_accept,)) as provider:
        assert provider.send().status_code == 500
        assert len(provider.wait_until_idle()) == 1
        assert provider.calls()[0]["answer"] == "500"
