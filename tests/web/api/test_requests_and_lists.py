"""`/api/v1`: the token, wrong requests, and lists."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lifecycle.house import NUMBER
from tests.processes import API_TOKEN
from tests.recording_provider import RecordingProvider
from tests.web.serving import Response, Serving, is_problem

#: every endpoint, with a well-formed body if it takes one
ENDPOINTS: list[tuple[str, str, Any]] = [
    ("GET", "/calls", None),
    ("POST", "/calls", {"to": NUMBER, "flow_id": "24"}),
    ("GET", "/calls/{id}", None),
    ("GET", "/calls/{id}/timeline", None),
    ("GET", "/calls/{id}/evidence", None),
    ("POST", "/calls/{id}/cancel", {}),
    ("POST", "/calls/{id}/retry", {}),
    ("GET", "/callbacks", None),
    ("GET", "/callbacks/{id}", None),
    ("POST", "/callbacks/{id}/join", {"submission": "sub_unknown"}),
    ("POST", "/callbacks/{id}/ignore", {}),
]
WITH_ID = [endpoint for endpoint in ENDPOINTS if "{id}" in endpoint[1]]


def get_as_written(serving: Serving, path: str) -> Response:
    """Return the response for a path that is sent without further quoting."""
    return serving.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {API_TOKEN}"})


# the token


def test_wrong_token_is_401_at_every_endpoint(serving: Serving, provider: RecordingProvider) -> None:
    for method, path, body in ENDPOINTS:
        for token in (None, "", "wrong", API_TOKEN[:-1], API_TOKEN + "x"):
            answer = serving.api(method, path, body, token=token)
            assert is_problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert API_TOKEN not in answer.text
    assert provider.seen == []


def test_api_is_closed_without_a_configured_token(sqlite_url: str) -> None:
    with Serving(sqlite_url, server={"api_token": None}) as serving:
        for method, path, body in ENDPOINTS:
            answer = serving.api(method, path, body)
            assert is_problem(answer, 401)
            assert "server.api_token" in answer.json()["detail"]
        assert serving.client.get("/statusz").status_code == 401
        assert serving.client.get("/healthz").status_code == 200
        assert serving.client.get("/readyz").status_code == 200


# unknown paths


@pytest.mark.parametrize(
    "id", ["call_unknown", "%00", "call_%00", "%ff", "a" * 300, "call_01%0a", "%F0%9F%98%80"]
)
def test_unknown_id_is_404(serving: Serving, id: str) -> None:
    for method, path, body in WITH_ID:
        assert is_problem(serving.api(method, path.replace("{id}", id), body), 404)


def test_unknown_path_is_404_and_no_redirect(serving: Serving) -> None:
    for path in ("/nothing", "/calls/", "/callbacks/", "/calls/x/", "/calls/x/nothing", ""):
        assert is_problem(serving.api("GET", path), 404)


def test_other_method_is_405_with_the_allowed_ones(serving: Serving) -> None:
    paths = {path for _, path, _ in ENDPOINTS}
    for path in paths:
        allowed = {method for method, other, _ in ENDPOINTS if other == path}
        answer = serving.api("DELETE", path.replace("{id}", "call_unknown"))
        assert is_problem(answer, 405)
        assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == allowed


# bodies


def test_malformed_body_is_400_and_a_large_one_413(serving: Serving) -> None:
    for body, status in (
        (b"", 400),
        (b"{", 400),
        (b"to=918919525224", 400),
        (b"\xff", 400),
        (b'\xef\xbb\xbf{"to": "1"}', 400),
        (b'{"to": NaN}', 400),
        (b'{"a": 1e999}', 400),
        (b'{"to": "\\ud800"}', 400),
        (b"[" * 50_000, 400),
        (b" " * (1024 * 1024) + b"{}", 413),
    ):
        assert is_problem(serving.api("POST", "/calls", body), status)
        assert is_problem(serving.api("POST", "/callbacks/cb_unknown/join", body), status)


def test_json_that_is_no_object_is_422(serving: Serving) -> None:
    for method, path, _ in ENDPOINTS:
        for body in (b"null", b"[]", b"1", b"true", b'"text"') if method == "POST" else ():
            assert is_problem(serving.api(method, path, body), 422, "body")


def test_unknown_field_is_422(serving: Serving) -> None:
    for method, path, body in ENDPOINTS:
        if body is not None:
            assert is_problem(serving.api(method, path, {**body, "nonsense": 1}), 422, "nonsense")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, ["submission"]),
        ({"submission": None}, ["submission"]),
        ({"submission": "sub_a", "submission_id": "b"}, ["submission"]),
        ({"submission": 1}, ["submission"]),
        ({"submission": "\x00"}, ["submission"]),
        ({"submission_id": "x" * 501}, ["submission_id"]),
    ],
)
def test_join_without_exactly_one_id_is_422(serving: Serving, fields: Any, wrong: list[str]) -> None:
    assert is_problem(serving.api("POST", "/callbacks/cb_unknown/join", fields), 422, *wrong)


# parameters


def test_unknown_parameter_is_422_at_every_endpoint(serving: Serving, provider: RecordingProvider) -> None:
    for method, path, body in ENDPOINTS:
        assert is_problem(serving.api(method, path, body, nonsense="1"), 422, "nonsense")
    assert provider.seen == []


def test_wrong_parameter_is_422(serving: Serving) -> None:
    for query in (
        "limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limit=1.0", "limit=1e2", "limit=%D9%A1",
        "limit=1&limit=2", "status=ringin", "status=", "status=busy,", "status=Busy", "outcome=queued",
        "outcome=nothing", "settled=yes", "settled=True", "answered=1", "disputed=null", "order=id", "order=",
        "order=created_at,id", "cursor=x", "cursor=", "cursor=%00", "created_after=2026-01-01",
        "created_after=2026-01-01T00:00:00", "created_before=9999-99-99T00:00:00Z", "updated_after=yesterday",
        "updated_after=0001-01-01T00:00:00%2B23:59", "to=abc", "to=", "to=1", "submission_id=", "account=%00",
        "campaign=%00", "reference=%00",
        "created_after=2026-03-02T00:00:01Z&created_before=2026-03-02T00:00:00Z",
    ):  # fmt: skip
        assert is_problem(get_as_written(serving, f"/calls?{query}"), 422, query.partition("=")[0])
    for query in (
        "state=joine", "state=joined,pending", "limit=501", "cursor=x", "call=", "account=%00", "order=created_at",
    ):  # fmt: skip
        assert is_problem(get_as_written(serving, f"/callbacks?{query}"), 422, query.partition("=")[0])


def test_every_wrong_parameter_is_named_at_once(serving: Serving) -> None:
    answer = serving.api("GET", "/calls", limit="0", settled="yes", nonsense="1", created_after="now")
    assert is_problem(answer, 422, "limit", "settled", "nonsense", "created_after")


# reading


def test_number_is_found_with_and_without_its_plus(serving: Serving) -> None:
    call = serving.place(NUMBER)
    serving.place("+918919525225")
    for to in ("918919525224", "%2B918919525224", "+918919525224", "8919525224", "%2B91%2089195-25224"):
        answer = get_as_written(serving, f"/calls?to={to}")
        assert [found["id"] for found in answer.json()["data"]] == [call["id"]]


def test_times_are_read_in_any_zone(serving: Serving) -> None:
    call = serving.place()
    for after, found in (
        ("2026-01-01T00:00:00+05:30", [call["id"]]),
        ("2026-01-01T00:00:00Z", [call["id"]]),
        ("9999-12-31T23:59:59Z", []),
    ):
        data = serving.get("/calls", created_after=after)["data"]
        assert [each["id"] for each in data] == found


def test_list_has_fifty_rows_by_default(serving: Serving) -> None:
    placed = [serving.place(not_before="2099-01-01T00:00:00Z")["id"] for _ in range(51)]
    first = serving.get("/calls")
    assert [call["id"] for call in first["data"]] == placed[:0:-1]
    assert set(first) == {"data", "next_cursor"}
    rest = serving.get("/calls", cursor=first["next_cursor"])
    assert ([call["id"] for call in rest["data"]], rest["next_cursor"]) == (placed[:1], None)
    assert len(serving.get("/calls", limit=500)["data"]) == 51


def test_timeline_has_pages(serving: Serving) -> None:
    call = serving.place()
    serving.callback({"id": call["submissions"][0]["submission_id"], "status": "ANSWER", "duration": "23"})
    serving.settled(call["id"])
    whole = serving.get(f"/calls/{call['id']}/timeline")
    assert whole["next_cursor"] is None
    assert len(whole["data"]) > 3
    seen: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = serving.get(f"/calls/{call['id']}/timeline", limit=2, **cursor)
        seen += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == whole["data"]
    other = serving.place()
    foreign = serving.get(f"/calls/{call['id']}/timeline", limit=1)["next_cursor"]
    assert is_problem(serving.api("GET", f"/calls/{other['id']}/timeline", cursor=foreign), 422, "cursor")


def test_head_request_is_answered_without_a_body(serving: Serving) -> None:
    answer = serving.api("HEAD", "/calls")
    assert (answer.status_code, answer.content) == (200, b"")
