"""The endpoint of callbacks: what it answers and stores, in the order of the table in docs/reference/http.md."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes import SECRET, eventually
from tests.web.serving import Serving, is_problem

TOKEN = "the-validation-key"
CHALLENGE = {"validation_key": TOKEN, "challenge": "a234qwe"}


@pytest.fixture
def plain(sqlite_url: str) -> Iterator[Serving]:
    """An account with a secret and nothing else, and no worker."""
    with Serving(sqlite_url, worker=False) as opened:
        yield opened


@pytest.fixture
def with_token(sqlite_url: str) -> Iterator[Serving]:
    """An account whose webhook has a validation key and a lane, and no worker."""
    with Serving(sqlite_url, worker=False, webhook_token=TOKEN, lanes={"a": "webhook-a"}) as opened:
        yield opened


def is_accepted(response: Any) -> bool:
    """Assert that a callback is answered as accepted."""
    assert (response.status_code, response.content) == (200, b'{"ok":true}'), response.text
    return True


# unknown account: 404 and a count


def test_unknown_account_is_404_for_every_method(plain: Serving) -> None:
    for method in ("POST", "GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        for path in ("/callbacks/thundersm", "/callbacks/thundersm/a", "/callbacks/THUNDERSMS"):
            assert is_problem(plain.callback({"a": 1}, path, method=method), 404)

    assert eventually(lambda: plain.count_of("unknown-account", None) == 18, "the requests are not counted")
    assert plain.stored_callbacks() == []


# other method: 405


@pytest.mark.parametrize("secret", [SECRET, None])
def test_other_method_is_405_and_not_stored(with_token: Serving, secret: str | None) -> None:
    for method in ("DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE"):
        response = with_token.callback(CHALLENGE, method=method, secret=secret)
        assert is_problem(response, 405)
        assert response.headers["allow"] == "POST, PUT, GET"
    assert with_token.callback(method="HEAD").status_code == 405

    assert is_accepted(with_token.callback({"a": 1}))
    assert len(with_token.stored_callbacks()) == 1
    assert with_token.count_of("quarantined") == 0


# challenge: 200 with the challenge


@pytest.mark.parametrize("secret", [SECRET, "wrong", None])
@pytest.mark.parametrize("lane", [None, "a"])
def test_challenge_with_token_is_echoed(with_token: Serving, secret: str | None, lane: str | None) -> None:
    path = "/callbacks/thundersms" + (f"/{lane}" if lane else "")
    for query, body in (
        (f"?token={TOKEN}", CHALLENGE),
        (f"?token={TOKEN}", {"challenge": "a234qwe"}),
        (f"?token={TOKEN}", {**CHALLENGE, "validation_key": "masked-XXXX"}),
        ("", CHALLENGE),
        ("?token=other", CHALLENGE),
    ):
        response = with_token.callback(body, path + query, secret=secret)
        assert response.status_code == 200
        assert response.json() == {
            "challenge": "a234qwe",
            "validation_key": body.get("validation_key", TOKEN),
        }

    stored = with_token.stored_callbacks()
    assert {(c["state"], c["reason"], c["lane"]) for c in stored} == {("ignored", "handshake", lane)}
    assert len(stored) == 5
    assert TOKEN not in json.dumps(stored)


def test_challenge_can_come_by_get(with_token: Serving) -> None:
    path = f"/callbacks/thundersms?token={TOKEN}&challenge=c1"
    assert with_token.callback(path=path, method="GET", secret=None).json()["challenge"] == "c1"


@pytest.mark.parametrize("token", [TOKEN, None])
def test_challenge_with_wrong_token_is_a_callback_when_signed(sqlite_url: str, token: str | None) -> None:
    with Serving(sqlite_url, webhook_token=token, worker=False) as serving:
        body = {"challenge": "c", "validation_key": "wrong"}
        assert is_accepted(serving.callback(body, "/callbacks/thundersms?token=x"))
        assert serving.only_callback()["state"] == "pending"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"challenge": "c"}),
        ("?token=wrong", {"challenge": "c", "validation_key": "wrong"}),
        (f"?validation_key={TOKEN}", {"challenge": "c"}),
        ("", {"challenge": "c", "token": TOKEN}),
        (f"?token={TOKEN}", {"no": "challenge"}),
    ],
)
def test_unsigned_challenge_without_token_is_quarantined(
    with_token: Serving, query: str, body: dict[str, str]
) -> None:
    assert is_problem(with_token.callback(body, "/callbacks/thundersms" + query, secret=None), 401)
    assert with_token.only_callback()["state"] == "quarantined"


def test_unsigned_challenge_is_401_when_account_has_no_token(plain: Serving) -> None:
    for token in ("", "x", SECRET):
        path = f"/callbacks/thundersms?token={token}"
        assert is_problem(plain.callback(CHALLENGE, path, secret=None), 401)


def test_unsigned_challenge_has_at_most_4_kib(with_token: Serving) -> None:
    assert with_token.callback(_padded_challenge(4096), secret=None).status_code == 200
    assert with_token.callback(iter([_padded_challenge(4000), b" "]), secret=None).status_code == 200
    assert is_problem(with_token.callback(_padded_challenge(4097), secret=None), 401)
    assert is_problem(with_token.callback(iter([_padded_challenge(4097)]), secret=None), 401)
    assert is_problem(with_token.callback(iter([_padded_challenge(4096), b" "]), secret="wrong"), 401)
    assert with_token.callback(_padded_challenge(9000)).json()["challenge"] == "a234qwe"


def _padded_challenge(size: int) -> bytes:
    return json.dumps(CHALLENGE).encode().ljust(size)


# wrong or missing secret: 401 and quarantine


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "no-secret"),
        ([("Authorization", "Basic dXNlcjpwYXNz")], "no-secret"),
        ([("Authorization", SECRET)], "no-secret"),
        ([("Authorization", "Bearer")], "no-secret"),
        ([("Authorization", f"Bearer {SECRET}x")], "wrong-secret"),
        ([("Authorization", f"Bearer {SECRET[:-1]}")], "wrong-secret"),
        ([("Authorization", f"Bearer {SECRET.upper()}")], "wrong-secret"),
        ([("Authorization", "Bearer \xe9")], "wrong-secret"),
        ([("Authorization", "Bearer first"), ("Authorization", "Bearer second")], "wrong-secret"),
    ],
)
def test_unauthenticated_request_is_401_and_quarantined(
    plain: Serving, headers: list[tuple[str, str]], reason: str
) -> None:
    raw_headers = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    for method in ("POST", "PUT", "GET"):
        response = plain.client.request(
            method, "/callbacks/thundersms", content=b'{"status":"BUSY"}', headers=raw_headers
        )
        assert is_problem(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
        plain.clock.forward(seconds=2)

    stored = _wait_for_stored(plain, 3)
    assert [c["method"] for c in stored] == ["POST", "PUT", "GET"]
    for callback in stored:
        assert (callback["state"], callback["reason"], callback["call"]) == ("quarantined", reason, None)
        assert (callback["fingerprint"] is not None) == (reason == "wrong-secret")
        assert callback["request"]["body"] == '{"status":"BUSY"}'
        presented = [value for name, value in callback["request"]["headers"] if name == "authorization"]
        assert presented == ["***"] * len(headers)


def test_same_wrong_secret_has_same_fingerprint(plain: Serving) -> None:
    for secret in ("one-secret", "one-secret", "another"):
        plain.callback({"a": 1}, secret=secret)
        plain.clock.forward(seconds=2)
    one, same, two = (callback["fingerprint"] for callback in _wait_for_stored(plain, 3))
    assert one == same != two


def test_every_configured_secret_authenticates(sqlite_url: str) -> None:
    secrets = ["old-secret-of-the-webhook", "new-secret-of-the-webhook", "geheimnis-ä"]
    with Serving(sqlite_url, webhook_secrets=secrets, worker=False) as serving:
        for secret in secrets:
            headers = [(b"authorization", b"bearer  " + secret.encode())]
            assert is_accepted(serving.client.post("/callbacks/thundersms", content=b"{}", headers=headers))
        stored = json.dumps(serving.stored_callbacks(), ensure_ascii=False)
        assert all(secret.encode().decode("latin-1") not in stored for secret in secrets)


@pytest.mark.parametrize("secrets", [["wrong", SECRET], [SECRET, "wrong"]])
def test_one_right_secret_of_several_authenticates(plain: Serving, secrets: list[str]) -> None:
    headers = [("Authorization", f"Bearer {secret}") for secret in secrets]
    assert is_accepted(plain.callback({"a": 1}, secret=None, headers=headers))


def test_unsigned_callback_is_accepted_when_allowed(sqlite_url: str) -> None:
    with Serving(sqlite_url, allow_unsigned=True, webhook_secrets=None, worker=False) as serving:
        assert is_accepted(serving.callback({"a": 1}, secret=None))
        assert is_accepted(serving.callback({"a": 2}, secret="any"))
        assert [c["state"] for c in serving.stored_callbacks()] == ["pending", "pending"]


def test_quarantine_takes_one_a_second_and_counts_the_others(database_url: str) -> None:
    with Serving(database_url, worker=False) as serving:
        for _ in range(20):
            assert is_problem(serving.callback({"a": 1}, secret="wrong"), 401)
        # The clock runs, so a second can pass while they are sent.
        assert eventually(
            lambda: serving.count_of("quarantined") + len(serving.stored_callbacks()) == 20,
            "some are neither stored nor counted",
        )
        before = len(serving.stored_callbacks())
        assert 1 <= before < 20

        serving.clock.forward(seconds=1.1)
        serving.callback({"a": 2}, secret="wrong")
        _wait_for_stored(serving, before + 1)
        # Authenticated callbacks are not limited.
        assert is_accepted(serving.callback({"a": 3}))


def test_quarantine_stores_64_kib_of_a_body(plain: Serving) -> None:
    assert is_problem(plain.callback(b"x" * (3 << 20), secret=None), 401)
    assert plain.stored_body(plain.only_callback()["id"]) == b"x" * 65536


def test_quarantine_stores_few_of_many_headers(plain: Serving) -> None:
    headers = [(f"x-{n}", "y" * 1000) for n in range(1000)]
    assert is_problem(plain.callback(b"x", secret=None, headers=headers), 401)
    assert len(json.dumps(plain.only_callback())) < 128 * 1024


# more than 1 MiB: 413 and a count


def test_more_than_1_mib_is_413_and_counted(plain: Serving) -> None:
    mebibyte = b"x" * (1 << 20)
    assert is_problem(plain.callback(mebibyte + b"x"), 413)
    assert is_problem(plain.callback(iter([mebibyte, b"x"])), 413)
    assert eventually(lambda: plain.count_of("too-large") == 2, "the requests are not counted")
    assert plain.stored_callbacks() == []

    assert is_accepted(plain.callback(mebibyte))
    assert is_accepted(plain.callback(iter([mebibyte[:-1], b"x"])))
    assert [c["size"] for c in plain.stored_callbacks()] == [1 << 20, 1 << 20]


def test_more_than_1_mib_is_401_when_unauthenticated(plain: Serving) -> None:
    assert is_problem(plain.callback(b"x" * (2 << 20), secret="wrong"), 401)
    plain.only_callback()
    assert plain.count_of("too-large") == 0


# authenticated: 200 and stored, whatever it contains

BODIES: list[tuple[str | None, bytes]] = [
    (None, b""),
    ("application/json", b""),
    ("application/json", b"{"),
    ("application/json", b"[" * 5000),
    ("application/json", b"null"),
    ("application/json", b'{"a":1e999,"b":NaN,"c":"\\ud800"}'),
    ("application/json", b'{"to":"\\u0000"}'),
    ("application/json; charset=utf-16", '{"a":1}'.encode("utf-16")),
    ("application/json", b"\xff\xfe\x00bad utf-8\xc3("),
    ("text/plain; charset=does-not-exist", b"a=1"),
    ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--"),
    ("multipart/form-data", b"no boundary"),
    ("application/x-www-form-urlencoded", b"a=%zz&=&&&%00=\x00"),
    ("application/xml", b"<a/>"),
    ("application/octet-stream", bytes(range(256))),
    ("????", b"\x00"),
    ("", b"x"),
]


def test_authenticated_body_is_stored_unchanged(serving: Serving) -> None:
    for method in ("POST", "PUT", "GET"):
        for content_type, body in BODIES:
            headers = {"Content-Type": content_type} if content_type is not None else {}
            assert is_accepted(serving.callback(body, method=method, headers=headers))

    stored = serving.stored_callbacks()
    assert [c["method"] for c in stored] == [m for m in ("POST", "PUT", "GET") for _ in BODIES]
    assert [serving.stored_body(c["id"]) for c in stored] == [body for _, body in BODIES] * 3
    assert [c["size"] for c in stored] == [len(body) for _, body in BODIES] * 3
    assert eventually(lambda: not serving.stored_callbacks("pending"), "they are not parsed")


PATHS = [
    "/callbacks/thundersms/unknown-lane",
    "/callbacks/thundersms/%00",
    "/callbacks/thundersms/%ff%fe",
    "/callbacks/thundersms/a%2Fb",
    "/callbacks/thundersms/a/b",
    "/callbacks/thundersms/" + "x" * 3000,
    "/callbacks/thundersms/",
    "/callbacks/thundersms/%F0%9F%93%9E",
    "/callbacks/thundersms?" + "q=1&" * 4000,
    "/callbacks/thundersms?%00=%ff&;;&==",
    "/%63allbacks/thundersms",
]


def test_callback_is_stored_with_any_lane_and_query(database_url: str) -> None:
    with Serving(database_url, lanes={"a": "webhook-a"}, worker=False) as serving:
        for path in PATHS:
            assert is_accepted(serving.callback({"status": "BUSY"}, path)), path

        requests = [c["request"] for c in serving.stored_callbacks()]
        assert [(r["path"], r["query"]) for r in requests] == [(*p.partition("?")[::2],) for p in PATHS]


def test_thousands_of_headers_are_stored_in_order(plain: Serving) -> None:
    headers = [("X-Same", f"{n}") for n in range(5000)]
    assert is_accepted(plain.callback(b"{}", headers=headers))

    stored = [each for each in plain.only_callback()["request"]["headers"] if each[0] == "x-same"]
    assert stored == [["x-same", f"{n}"] for n in range(5000)]


def test_identical_callbacks_are_separate_rows(serving: Serving) -> None:
    for _ in range(3):
        assert is_accepted(serving.callback({"status": "BUSY"}))

    assert len({c["id"] for c in serving.stored_callbacks()}) == 3


# what is stored


def test_secrets_are_masked_everywhere_in_every_spelling(sqlite_url: str) -> None:
    secret = 'geheim/1+2 &"\\ä-secret'
    encoded = "geheim%2F1%2B2%20%26%22%5C%C3%A4-secret"
    with Serving(sqlite_url, webhook_secrets=[secret, SECRET], worker=False) as serving:
        body = "|".join(
            [
                secret, encoded, encoded.lower(), encoded.replace("%20", "+"), json.dumps(secret),
                json.dumps(secret, ensure_ascii=False), json.dumps(secret).replace("/", "\\/"),
                encoded.replace("-", "%2d"), SECRET,
            ]
        ).encode()  # fmt: skip
        path = f"/callbacks/thundersms/{encoded}?token={encoded}&api={SECRET}"
        assert is_accepted(serving.callback(body, path, headers={"X-Copy": f"a {SECRET} b"}))

        stored = serving.only_callback()
        assert stored["size"] == len(body)
        everything = json.dumps(stored, ensure_ascii=False)
        assert SECRET not in everything
        assert "geheim" not in everything
        assert stored["lane"] == "***"
        assert stored["request"]["path"] == "/callbacks/thundersms/***"
        assert stored["request"]["query"] == "token=***&api=***"
        assert stored["request"]["body"] == '***|***|***|***|"***"|"***"|"***"|***|***'
        assert ["x-copy", "a *** b"] in stored["request"]["headers"]
        assert ["authorization", "Bearer ***"] in stored["request"]["headers"]


def test_stored_callback_has_time_origin_and_raw_body(plain: Serving) -> None:
    before = plain.clock()
    plain.callback(b"\xff\x00", "/callbacks/thundersms/a?b=c")

    stored = plain.only_callback()
    assert (stored["account"], stored["lane"], stored["method"]) == ("thundersms", "a", "POST")
    assert stored["size"] == 2
    assert stored["request"]["remote"] == "127.0.0.1"
    assert base64.b64decode(stored["request"]["body"]) == b"\xff\x00"
    assert stored["request"]["body_encoding"] == "base64"
    assert before.isoformat()[:10] <= stored["received_at"][:10]
    assert stored["received_at"].endswith("Z")


@pytest.mark.parametrize("path", ["/callbacks/thundersms", "/tel/v1/callbacks/thundersms"])
def test_callback_is_accepted_with_and_without_path_prefix(sqlite_url: str, path: str) -> None:
    server = {"public_url": "https://calls.example.com/tel/v1/"}
    with Serving(sqlite_url, server=server, worker=False) as serving:
        assert is_accepted(serving.callback({"a": 1}, path))
        assert serving.only_callback()["request"]["path"] == path


def test_path_prefix_can_look_like_a_path_of_ours(sqlite_url: str) -> None:
    server = {"public_url": "https://example.com/callbacks"}
    with Serving(sqlite_url, server=server, worker=False) as serving:
        assert is_accepted(serving.callback({"a": 1}, "/callbacks/thundersms"))
        assert is_accepted(serving.callback({"a": 1}, "/callbacks/callbacks/thundersms"))


def _wait_for_stored(serving: Serving, count: int) -> list[dict[str, Any]]:
    """Wait until `count` callbacks are stored, and return them."""
    return eventually(
        lambda: stored if len(stored := serving.stored_callbacks()) == count else [],
        "the callbacks are not stored",
    )
