"""Promise: nothing gets in, and nothing gets out.

Without the account's secret a callback is not believed; without a token nobody reads or dials. No process writes a
secret or a telephone number to its output, and no row of the database holds a secret.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from starlette.routing import Mount, Route

from tests.lifecycle.house import House
from tests.processes import ACCESS_TOKEN, API_TOKEN, BRIDGE, SECRET, Processes, Server, eventually
from tests.recording_provider import RecordingProvider, Told, error
from tracker.settings import load_settings
from tracker.web.app import create_app

NUMBER = "+918919525224"
FROM = "918919520002"
OTHER_SECRET = "the-secret-of-another-account"
WEBHOOK_TOKEN = "the-validation-key-of-the-webhook"
CALL = {"to": NUMBER, "flow_id": "24"}

#: what is asked without a token, beside what the provider sends
OPEN = {"/healthz", "/readyz", "/callbacks/{account}", "/callbacks/{account}/{lane:path}"}

NOT_THE_SECRET = {
    "none": [],
    "empty": ["Bearer"],
    "beginning": [f"Bearer {SECRET[:-1]}"],
    "end": [f"Bearer {SECRET[1:]}"],
    "longer": [f"Bearer {SECRET}x"],
    "case": [f"Bearer {SECRET.upper()}"],
    "spaced": [f"Bearer {SECRET[:4]} {SECRET[4:]}"],
    "no-break-space": [f"Bearer {SECRET}\xa0"],
    "encoded-newline": [f"Bearer {SECRET}%0A"],
    "quoted": [f'Bearer "{SECRET}"'],
    "masked": ["Bearer ***"],
    "no-scheme": [SECRET],
    "another-scheme": [f"Basic {SECRET}"],
    "of-another-account": [f"Bearer {OTHER_SECRET}"],
    "api-token": [f"Bearer {API_TOKEN}"],
    "access-token": [f"Bearer {ACCESS_TOKEN}"],
    "validation-key": [f"Bearer {WEBHOOK_TOKEN}"],
    "null": ["Bearer null"],
    "two-wrong-ones": ["Bearer one", "Bearer another"],
}

NOT_THE_TOKEN = {
    "none": None,
    "empty": "Bearer",
    "beginning": f"Bearer {API_TOKEN[:-1]}",
    "longer": f"Bearer {API_TOKEN}x",
    "case": f"Bearer {API_TOKEN.upper()}",
    "another-scheme": f"Basic {API_TOKEN}",
    "no-scheme": API_TOKEN,
    "webhook-secret": f"Bearer {SECRET}",
    "access-token": f"Bearer {ACCESS_TOKEN}",
    "null": "Bearer None",
}


@pytest.fixture
def processes(database_url: str, tmp_path: Path, provider: RecordingProvider) -> Iterator[Processes]:
    """Two accounts, of which each has a secret of its own."""
    with Processes(tmp_path, database_url, provider.base_url, webhook_token=WEBHOOK_TOKEN) as processes:
        processes.environ |= {
            "TRACKER_ACCOUNTS__ANOTHER__WEBHOOK_SECRETS": json.dumps([OTHER_SECRET]),
            "TRACKER_ACCOUNTS__ANOTHER__BASE_URL": provider.base_url,
        }
        yield processes


def anonymous(server: Server) -> httpx.Client:
    return server.client(token=None)


def outcome_of(call: dict[str, Any]) -> dict[str, Any]:
    """A callback that would be joined to the call by its id."""
    id = call["submissions"][0]["submission_id"]
    return {"id": id, "to": NUMBER, "status": "ANSWER", "start_at": "2026-01-05 10:00:00"}


def all_read(server: Server, token: str = API_TOKEN) -> None:
    """Wait until the joiner has been everywhere."""
    with server.client(token) as client:

        def read() -> bool:
            found = client.get("/statusz").json()
            return not found["callbacks"]["pending"] and not found["inbox_waiting"]

        eventually(read, "the inbox should be read")


def test_a_callback_without_the_secret_is_not_believed(
    processes: Processes, provider: RecordingProvider
) -> None:
    """It names the right submission, and is as true as can be but for its secret."""
    server = processes.serve()
    with server.client() as api, anonymous(server) as stranger:
        call = api.post("/api/v1/calls", json={**CALL, "account": "thundersms"}).json()
        shown = f"/api/v1/calls/{call['id']}"
        before = api.get(shown).json(), api.get(f"{shown}/timeline").json()
        tries = 0
        for kind, values in NOT_THE_SECRET.items():
            for method in ("POST", "PUT"):
                headers = [(b"Authorization", value.encode("latin-1")) for value in values]
                tries += 1
                response = stranger.request(
                    method, "/callbacks/thundersms", json=outcome_of(call), headers=headers
                )
                assert response.status_code == 401, kind
                assert response.json()["status"] == 401
                assert SECRET not in response.text
        # neither does a secret elsewhere help
        for path, body in (
            (f"/callbacks/thundersms?secret={SECRET}", outcome_of(call)),
            (f"/callbacks/thundersms?token={SECRET}", outcome_of(call)),
            (f"/callbacks/thundersms/{SECRET}", outcome_of(call)),
            (
                "/callbacks/thundersms",
                {**outcome_of(call), "secret": SECRET, "authorization": f"Bearer {SECRET}"},
            ),
        ):
            tries += 1
            assert stranger.post(path, json=body).status_code == 401
        tries += 1
        assert stranger.get("/callbacks/thundersms", params=outcome_of(call)).status_code == 401

        def kept_or_counted() -> bool:
            counts = {(c["name"], c["account"]): c["count"] for c in api.get("/statusz").json()["counts"]}
            kept = api.get("/api/v1/callbacks?limit=500").json()["data"]
            return bool(len(kept) + counts.get(("quarantined", "thundersms"), 0) == tries)

        eventually(kept_or_counted, f"all {tries} should be kept or counted")
        all_read(server)
        inbox = api.get("/api/v1/callbacks?limit=500").json()["data"]
        assert inbox
        assert {(c["state"], c["call"], c["submission"]) for c in inbox} == {("quarantined", None, None)}
        assert (api.get(shown).json(), api.get(f"{shown}/timeline").json()) == before

        # the same with the secret is believed
        stranger.headers["Authorization"] = f"Bearer {SECRET}"
        assert stranger.post("/callbacks/thundersms", json=outcome_of(call)).status_code == 200
        eventually(lambda: api.get(shown).json()["outcome"] == "completed", "it should be joined")


def test_a_handshake_with_a_wrong_token_leaks_nothing(processes: Processes) -> None:
    server = processes.serve()
    with server.client() as api, anonymous(server) as stranger:
        for token in ("", "wrong", WEBHOOK_TOKEN[:-1], WEBHOOK_TOKEN.upper(), SECRET, "null", "%"):
            said = {"validation_key": token, "challenge": "a-challenge-to-echo"}
            for response in (
                stranger.post("/callbacks/thundersms", params={"token": token}, json=said),
                stranger.post("/callbacks/thundersms", json=said),
                stranger.get(
                    "/callbacks/thundersms", params={"token": token, "challenge": said["challenge"]}
                ),
                # an account that has no token shakes no hands
                stranger.post(f"/callbacks/another?token={WEBHOOK_TOKEN}", json=said),
            ):
                assert response.status_code == 401
                assert not {said["challenge"], WEBHOOK_TOKEN, SECRET} & set(_words(response.text))
        # believed by its secret, it is a callback like any other, and echoes nothing either
        bearer = {"Authorization": f"Bearer {SECRET}"}
        said = {"validation_key": "wrong", "challenge": "a-challenge-to-echo"}
        response = stranger.post("/callbacks/thundersms?token=wrong", json=said, headers=bearer)
        assert (response.status_code, response.json()) == (200, {"ok": True})
        # with the right token it is answered
        said["validation_key"] = WEBHOOK_TOKEN
        right = stranger.post(f"/callbacks/thundersms?token={WEBHOOK_TOKEN}", json=said)
        assert (right.status_code, right.json()["challenge"]) == (200, said["challenge"])
        all_read(server)
        assert api.get("/api/v1/callbacks?state=joined").json()["data"] == []


def _words(text: str) -> list[str]:
    return text.replace('"', " ").replace(",", " ").split()


def routes(processes: Processes) -> list[tuple[str, str]]:
    """Every method and path of the server, from the application itself: a new one is here by itself."""
    settings = load_settings({k: v for k, v in processes.environ.items() if k.startswith("TRACKER_")})
    found = list(_flat(create_app(settings).routes))
    assert ("POST", "/api/v1/calls") in found
    return found


def _flat(routes: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _flat(route.routes, prefix + route.path)
        else:
            assert isinstance(route, Route), f"how is {route} guarded?"
            for method in sorted(route.methods or {"POST"}):
                yield method, prefix + route.path


def knock(
    client: httpx.Client, method: str, template: str, authorization: str | None, call: str
) -> httpx.Response:
    path = template.replace("{id}", call).replace("{account}", "thundersms").replace("{lane}", "a")
    headers = {"Authorization": authorization} if authorization is not None else {}
    body = json.dumps(CALL).encode() if method in ("POST", "PUT", "PATCH") else None
    return client.request(method, path, content=body, headers=headers)


def test_without_a_token_nobody_reads_or_dials(processes: Processes, provider: RecordingProvider) -> None:
    server = processes.serve("--no-worker")
    with server.client() as api, anonymous(server) as stranger:
        call = api.post("/api/v1/calls", json={**CALL, "account": "thundersms"}).json()
        before = api.get(f"/api/v1/calls/{call['id']}").json()
        sent = len(provider.sent)
        assert {template for _, template in routes(processes)} >= OPEN | {"/statusz", "/api/v1/callbacks"}
        for method, template in routes(processes):
            if template in OPEN:
                continue
            for kind, authorization in NOT_THE_TOKEN.items():
                response = knock(stranger, method, template, authorization, call["id"])
                assert response.status_code == 401, (method, template, kind)
                assert NUMBER[1:] not in response.text
                assert API_TOKEN not in response.text
            # in the address it does not count
            address = f"{template}?api_token={API_TOKEN}&access_token={API_TOKEN}&token={API_TOKEN}"
            assert knock(stranger, method, address, None, call["id"]).status_code == 401
        for path in ("/healthz", "/readyz"):
            # open, but not talkative
            assert knock(stranger, "GET", path, None, "").json().keys() <= {"ok", "problems"}
        assert len(provider.sent) == sent
        assert api.get(f"/api/v1/calls/{call['id']}").json() == before
        assert len(api.get("/api/v1/calls").json()["data"]) == 1


def test_without_a_configured_token_the_api_is_closed(
    processes: Processes, provider: RecordingProvider
) -> None:
    del processes.environ["TRACKER_SERVER__API_TOKEN"]
    server = processes.serve("--no-worker")
    with anonymous(server) as stranger:
        for method, template in routes(processes):
            if template in OPEN:
                continue
            for kind, authorization in {**NOT_THE_TOKEN, "right before": f"Bearer {API_TOKEN}"}.items():
                response = knock(stranger, method, template, authorization, "call_1")
                assert response.status_code == 401, (method, template, kind)
    assert provider.sent == []


#: planted where a configuration or a call holds one; some with signs that are written differently in an address
PLANTED = {
    "api_token": "planted-api-token/1+2",
    "access_token": "planted-access-token",
    "webhook_secret": "planted webhook/secret+1",
    "next_webhook_secret": "planted-next-secret",
    "webhook_token": "planted-webhook-token",
    "otp": "plantedotp842",
}
DATABASE_PASSWORD = "planted-database-password"


def test_no_output_holds_a_secret_or_a_number_and_no_row_a_secret(
    database_url: str, tmp_path: Path, provider: RecordingProvider
) -> None:
    """They are planted in the configuration, in what the provider answers and says, and in what strangers send."""
    database_url = database_url.replace("postgres@", f"postgres:{DATABASE_PASSWORD}@")
    secrets = list(PLANTED.values())
    with Processes(
        tmp_path, database_url, provider.base_url,
        access_token=PLANTED["access_token"], webhook_token=PLANTED["webhook_token"],
        webhook_secrets=[PLANTED["webhook_secret"], PLANTED["next_webhook_secret"]], secret_variables=["otp"],
    ) as processes:  # fmt: skip
        processes.environ["TRACKER_SERVER__API_TOKEN"] = PLANTED["api_token"]
        server = processes.serve("--log-level", "debug")
        worker = processes.worker("--log-level", "debug")
        # all that the provider knows of us
        told = f"no {NUMBER} {BRIDGE} for {' '.join(secrets[1:])}"
        provider.sends.extend(
            [
                Told(body=told.encode(), headers={"X-Echo": PLANTED["access_token"]}),
                error(500, told),
                error(401, told),
                error(422, told),
                Told(drop=True),
            ]
        )
        with server.client(PLANTED["api_token"]) as api:
            calls: list[dict[str, Any]] = []
            for n in range(len(provider.sends) + 1):
                placed = api.post(
                    "/api/v1/calls",
                    json={**CALL, "variables": {"otp": PLANTED["otp"]}, "bridge": BRIDGE},
                    headers={"Idempotency-Key": f"key-{n}"},
                )
                assert placed.status_code in (201, 202)
                assert PLANTED["otp"] not in placed.text
                calls.append(placed.json())
            call = calls[-1]
            _ask_for_what_is_not_there(api)
        # what a callback says of a call's variables is kept as it came: only configured secrets are known beforehand
        _send_all_kinds_of_callbacks(server, call, secrets[:-1])
        _speak_no_http(server)
        all_read(server, PLANTED["api_token"])
        with server.client(PLANTED["api_token"]) as api:
            assert api.get(f"/api/v1/calls/{call['id']}").json()["outcome"] == "busy"
            shown = api.get(f"/api/v1/calls/{call['id']}/evidence").text
        assert (server.terminate(), worker.terminate()) == (0, 0)
        output = processes.outputs()

    assert "process.started" in output
    assert "callback.unauthenticated" in output
    for secret in [*secrets, DATABASE_PASSWORD]:
        for spelled in {secret, quote(secret), quote(secret, safe=""), secret.replace(" ", "+")}:
            assert spelled not in output
            assert spelled not in shown
    for number in (NUMBER, BRIDGE, FROM):
        assert number[-9:-2] not in output
    with closing(House(database_url, provider.base_url)) as house:
        rows = house.database.read(lambda c: list(_rows(c)))
    assert any("***" in row for row in rows)
    for row in rows:
        for secret in secrets:
            for spelled in {secret, quote(secret), quote(secret, safe=""), secret.replace(" ", "+")}:
                assert spelled not in row


def _ask_for_what_is_not_there(api: httpx.Client) -> None:
    for path in (
        f"/api/v1/calls?to={quote(NUMBER)}",
        f"/api/v1/calls?to={NUMBER}&unknown={quote(PLANTED['api_token'])}",
        f"/api/v1/calls/{NUMBER}",
        f"/api/v1/calls/{quote(PLANTED['access_token'])}",
        f"/nowhere/{NUMBER[1:]}?access_token={PLANTED['access_token']}",
        f"/callbacks/{NUMBER[1:]}",
        f"/callbacks/{PLANTED['next_webhook_secret']}",
        f"/readyz?{NUMBER}",
    ):
        api.get(path)
    for wrong in (
        {"to": NUMBER + "X", "flow_id": "24"},
        {**CALL, "bridge": f"{BRIDGE}-{PLANTED['otp']}", NUMBER: PLANTED["access_token"]},
        {**CALL, "not_before": PLANTED["otp"]},
    ):
        assert api.post("/api/v1/calls", json=wrong).status_code == 422
    assert api.post("/api/v1/calls", content=f'{{"to": {NUMBER}').status_code == 400


def _send_all_kinds_of_callbacks(server: Server, call: dict[str, Any], secrets: list[str]) -> None:
    push = {
        "id": call["submissions"][0]["submission_id"], "to": int(NUMBER), "from": int(FROM), "bridge": int(BRIDGE),
        "status": "BUSY", "start_at": "2026-01-05 10:00:00", "note": " ".join(secrets),
    }  # fmt: skip
    text = json.dumps(push)
    with server.client(PLANTED["webhook_secret"]) as client:
        for content in (
            text,
            text[:-1] + ",}",
            text[:-9],
            f"{NUMBER} {secrets}",
            "null",
            b"\xff" + text.encode(),
        ):
            for method, path in (
                ("POST", "/callbacks/thundersms"),
                ("PUT", f"/callbacks/thundersms/{NUMBER[1:]}?secret={quote(PLANTED['webhook_secret'])}"),
                ("GET", f"/callbacks/thundersms?to={NUMBER}&s={quote(PLANTED['webhook_secret'], safe='')}"),
            ):
                assert client.request(method, path, content=content).status_code == 200
        assert client.post("/callbacks/thundersms", data={**push, "more": secrets}).status_code == 200
        assert client.delete(f"/callbacks/thundersms?to={NUMBER}").status_code == 405
        assert client.post("/callbacks/thundersms", content=text * 9000).status_code == 413
    for wrong in ("somebody-elses-secret", PLANTED["api_token"]):
        with server.client(wrong) as client:
            assert client.post(f"/callbacks/thundersms?to={NUMBER}", content=text).status_code == 401


def _speak_no_http(server: Server) -> None:
    address = urlsplit(server.url)
    for line in (f"GET /{NUMBER} HTTP/9\r\n\r\n", f"{PLANTED['access_token']} {NUMBER}\r\n\r\n"):
        with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
            raw.sendall(line.encode())
            raw.recv(1000)


def _rows(connection: Any) -> Iterator[str]:
    """Every value of every row of every table, as text."""
    metadata = sa.MetaData()
    metadata.reflect(connection)
    assert "callbacks" in metadata.tables
    for table in metadata.tables.values():
        for row in connection.execute(sa.select(table)):
            for value in row:
                yield value.decode("latin-1") if isinstance(value, bytes) else str(value)
