"""The table of the provider's side: what is answered and what is kept, row by row and in its order."""

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
    """An account with a secret and nothing else; nobody looks at what is kept."""
    with Serving(sqlite_url, worker=False) as opened:
        yield opened


@pytest.fixture
def tokened(sqlite_url: str) -> Iterator[Serving]:
    """An account whose webhook has a validation key, too."""
    with Serving(sqlite_url, worker=False, webhook_token=TOKEN, lanes={"a": "webhook-a"}) as opened:
        yield opened


def believed(response: Any) -> bool:
    assert (response.status_code, response.content) == (200, b'{"ok":true}'), response.text
    return True


# unknown account: 404, counted


def test_an_unknown_account_is_404_whatever_the_method(plain: Serving) -> None:
    for method in ("POST", "GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        for path in ("/callbacks/thundersm", "/callbacks/thundersm/a", "/callbacks/THUNDERSMS"):
            assert is_problem(plain.callback({"a": 1}, path, method=method), 404)

    assert eventually(lambda: plain.counted("unknown-account", None) == 18, "they are not counted")
    assert plain.kept() == []


# another method: 405, nothing


@pytest.mark.parametrize("secret", [SECRET, None])
def test_another_method_is_405_and_nothing_is_kept(tokened: Serving, secret: str | None) -> None:
    for method in ("DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE"):
        response = tokened.callback(CHALLENGE, method=method, secret=secret)
        assert is_problem(response, 405)
        assert response.headers["allow"] == "POST, PUT, GET"
    assert tokened.callback(method="HEAD").status_code == 405

    assert believed(tokened.callback({"a": 1}))
    assert len(tokened.kept()) == 1
    assert tokened.counted("quarantined") == 0


# the handshake


@pytest.mark.parametrize("secret", [SECRET, "wrong", None])
@pytest.mark.parametrize("lane", [None, "a"])
def test_a_handshake_with_a_known_token_is_answered(
    tokened: Serving, secret: str | None, lane: str | None
) -> None:
    path = "/callbacks/thundersms" + (f"/{lane}" if lane else "")
    for query, body in (
        (f"?token={TOKEN}", CHALLENGE),
        (f"?token={TOKEN}", {"challenge": "a234qwe"}),
        (f"?token={TOKEN}", {**CHALLENGE, "validation_key": "masked-XXXX"}),
        ("", CHALLENGE),
        ("?token=other", CHALLENGE),
    ):
        response = tokened.callback(body, path + query, secret=secret)
        assert response.status_code == 200
        assert response.json() == {
            "challenge": "a234qwe",
            "validation_key": body.get("validation_key", TOKEN),
        }

    kept = tokened.kept()
    assert {(k["state"], k["reason"], k["lane"]) for k in kept} == {("ignored", "handshake", lane)}
    assert len(kept) == 5
    assert TOKEN not in json.dumps(kept)


def test_a_handshake_may_come_by_get(tokened: Serving) -> None:
    path = f"/callbacks/thundersms?token={TOKEN}&challenge=c1"
    assert tokened.callback(path=path, method="GET", secret=None).json()["challenge"] == "c1"


@pytest.mark.parametrize("token", [TOKEN, None])
def test_a_challenge_with_a_wrong_token_is_a_callback_where_the_secret_is_right(
    sqlite_url: str, token: str | None
) -> None:
    with Serving(sqlite_url, webhook_token=token, worker=False) as serving:
        body = {"challenge": "c", "validation_key": "wrong"}
        assert believed(serving.callback(body, "/callbacks/thundersms?token=x"))
        assert serving.only_kept()["state"] == "pending"


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
def test_without_a_right_bearer_a_handshake_needs_a_known_token(
    tokened: Serving, query: str, body: dict[str, str]
) -> None:
    assert is_problem(tokened.callback(body, "/callbacks/thundersms" + query, secret=None), 401)
    assert tokened.only_kept()["state"] == "quarantined"


def test_without_a_webhook_token_there_is_no_handshake_without_a_right_bearer(plain: Serving) -> None:
    for token in ("", "x", SECRET):
        path = f"/callbacks/thundersms?token={token}"
        assert is_problem(plain.callback(CHALLENGE, path, secret=None), 401)


def padded(size: int) -> bytes:
    body = json.dumps(CHALLENGE).encode()
    return body + b" " * (size - len(body))


def test_without_a_right_bearer_a_handshake_has_at_most_4_kib(tokened: Serving) -> None:
    assert tokened.callback(padded(4096), secret=None).status_code == 200
    assert tokened.callback(iter([padded(4000), b" "]), secret=None).status_code == 200
    assert is_problem(tokened.callback(padded(4097), secret=None), 401)
    assert is_problem(tokened.callback(iter([padded(4097)]), secret=None), 401)
    assert is_problem(tokened.callback(iter([padded(4096), b" "]), secret="wrong"), 401)
    assert tokened.callback(padded(9000)).json()["challenge"] == "a234qwe"


# secret wrong or missing: 401, quarantine


@pytest.mark.parametrize(
    ("headers", "cause"),
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
def test_a_wrong_or_missing_secret_is_401_and_set_aside(
    plain: Serving, headers: list[tuple[str, str]], cause: str
) -> None:
    sent = [(k.encode(), v.encode("latin-1")) for k, v in headers]
    for method in ("POST", "PUT", "GET"):
        response = plain.client.request(
            method, "/callbacks/thundersms", content=b'{"status":"BUSY"}', headers=sent
        )
        assert is_problem(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
        plain.clock.forward(seconds=2)

    found = eventually(lambda: k if len(k := plain.kept()) == 3 else [], "they are not kept")
    assert [k["method"] for k in found] == ["POST", "PUT", "GET"]
    for kept in found:
        assert (kept["state"], kept["reason"], kept["call"]) == ("quarantined", cause, None)
        assert (kept["fingerprint"] is not None) == (cause == "wrong-secret")
        assert kept["request"]["body"] == '{"status":"BUSY"}'
        presented = [h[1] for h in kept["request"]["headers"] if h[0] == "authorization"]
        assert presented == ["***"] * len(headers)


def test_the_same_wrong_secret_has_the_same_fingerprint(plain: Serving) -> None:
    for secret in ("one-secret", "one-secret", "another"):
        plain.callback({"a": 1}, secret=secret)
        plain.clock.forward(seconds=2)
    found = eventually(lambda: k if len(k := plain.kept()) == 3 else [], "not all are kept")
    one, same, two = (each["fingerprint"] for each in found)
    assert one == same != two


def test_several_secrets_are_right_during_a_rotation(sqlite_url: str) -> None:
    known = ["old-secret-of-the-webhook", "new-secret-of-the-webhook", "geheimnis-ä"]
    with Serving(sqlite_url, webhook_secrets=known, worker=False) as serving:
        for secret in known:
            headers = [(b"authorization", b"bearer  " + secret.encode())]
            assert believed(serving.client.post("/callbacks/thundersms", content=b"{}", headers=headers))
        kept = json.dumps(serving.kept(), ensure_ascii=False)
        assert all(secret.encode().decode("latin-1") not in kept for secret in known)


@pytest.mark.parametrize("order", [["wrong", SECRET], [SECRET, "wrong"]])
def test_one_right_secret_among_several_headers_is_enough(plain: Serving, order: list[str]) -> None:
    headers = [("Authorization", f"Bearer {each}") for each in order]
    assert believed(plain.callback({"a": 1}, secret=None, headers=headers))


def test_an_account_that_allows_it_believes_without_a_secret(sqlite_url: str) -> None:
    with Serving(sqlite_url, allow_unsigned=True, webhook_secrets=None, worker=False) as serving:
        assert believed(serving.callback({"a": 1}, secret=None))
        assert believed(serving.callback({"a": 2}, secret="whatever"))
        assert [k["state"] for k in serving.kept()] == ["pending", "pending"]


def test_the_quarantine_takes_one_a_second_and_counts_the_rest(database_url: str) -> None:
    with Serving(database_url, worker=False) as serving:
        for _ in range(20):
            assert is_problem(serving.callback({"a": 1}, secret="wrong"), 401)
        # the clock is the system's: a second may pass while they are sent
        assert eventually(
            lambda: serving.counted("quarantined") + len(serving.kept()) == 20, "they are not counted"
        )
        before = len(serving.kept())
        assert 1 <= before < 20

        serving.clock.forward(seconds=1.1)
        serving.callback({"a": 2}, secret="wrong")
        assert eventually(lambda: len(serving.kept()) == before + 1, "there was room for one more")
        # whoever is believed is not held up by it
        assert believed(serving.callback({"a": 3}))


def test_of_a_quarantined_body_64_kib_are_kept(plain: Serving) -> None:
    assert is_problem(plain.callback(b"x" * (3 << 20), secret=None), 401)
    assert plain.raw_body(plain.only_kept()["id"]) == b"x" * 65536


def test_a_quarantined_request_with_huge_headers_is_no_huge_row(plain: Serving) -> None:
    headers = [(f"x-{n}", "y" * 1000) for n in range(1000)]
    assert is_problem(plain.callback(b"x", secret=None, headers=headers), 401)
    assert len(json.dumps(plain.only_kept())) < 128 * 1024


# larger than 1 MiB: 413, counted


def test_more_than_a_mebibyte_is_413_and_counted(plain: Serving) -> None:
    mebibyte = b"x" * (1 << 20)
    assert is_problem(plain.callback(mebibyte + b"x"), 413)
    assert is_problem(plain.callback(iter([mebibyte, b"x"])), 413)
    assert eventually(lambda: plain.counted("too-large") == 2, "they are not counted")
    assert plain.kept() == []

    assert believed(plain.callback(mebibyte))
    assert believed(plain.callback(iter([mebibyte[:-1], b"x"])))
    assert [k["size"] for k in plain.kept()] == [1 << 20, 1 << 20]


def test_what_is_large_and_not_believed_is_401(plain: Serving) -> None:
    assert is_problem(plain.callback(b"x" * (2 << 20), secret="wrong"), 401)
    plain.only_kept()
    assert plain.counted("too-large") == 0


# secret right: 200, kept, whatever it holds

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


def test_what_is_believed_is_kept_whatever_it_holds(serving: Serving) -> None:
    for method in ("POST", "PUT", "GET"):
        for content_type, body in BODIES:
            headers = {"Content-Type": content_type} if content_type is not None else {}
            assert believed(serving.callback(body, method=method, headers=headers))

    kept = serving.kept()
    assert [k["method"] for k in kept] == [m for m in ("POST", "PUT", "GET") for _ in BODIES]
    assert [serving.raw_body(k["id"]) for k in kept] == [body for _, body in BODIES] * 3
    assert [k["size"] for k in kept] == [len(body) for _, body in BODIES] * 3
    assert eventually(lambda: not serving.kept("pending"), "nobody looked at them")


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


def test_it_is_kept_by_whatever_lane_and_query_it_comes(database_url: str) -> None:
    with Serving(database_url, lanes={"a": "webhook-a"}, worker=False) as serving:
        for path in PATHS:
            assert believed(serving.callback({"status": "BUSY"}, path)), path

        kept = [k["request"] for k in serving.kept()]
        assert [(r["path"], r["query"]) for r in kept] == [(*p.partition("?")[::2],) for p in PATHS]


def test_thousands_of_headers_are_kept_as_they_came(plain: Serving) -> None:
    headers = [("X-Same", f"{n}") for n in range(5000)]
    assert believed(plain.callback(b"{}", headers=headers))

    kept = [each for each in plain.only_kept()["request"]["headers"] if each[0] == "x-same"]
    assert kept == [["x-same", f"{n}"] for n in range(5000)]


def test_identical_callbacks_are_rows_of_their_own(serving: Serving) -> None:
    for _ in range(3):
        assert believed(serving.callback({"status": "BUSY"}))

    assert len({k["id"] for k in serving.kept()}) == 3


# what is stored


def test_secrets_are_replaced_wherever_and_however_they_stand(sqlite_url: str) -> None:
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
        assert believed(serving.callback(body, path, headers={"X-Copy": f"a {SECRET} b"}))

        kept = serving.only_kept()
        assert kept["size"] == len(body)
        everything = json.dumps(kept, ensure_ascii=False)
        assert SECRET not in everything
        assert "geheim" not in everything
        assert kept["lane"] == "***"
        assert kept["request"]["path"] == "/callbacks/thundersms/***"
        assert kept["request"]["query"] == "token=***&api=***"
        assert kept["request"]["body"] == '***|***|***|***|"***"|"***"|"***"|***|***'
        assert ["x-copy", "a *** b"] in kept["request"]["headers"]
        assert ["authorization", "Bearer ***"] in kept["request"]["headers"]


def test_what_is_kept_says_when_and_how_it_came(plain: Serving) -> None:
    before = plain.clock()
    plain.callback(b"\xff\x00", "/callbacks/thundersms/a?b=c")

    kept = plain.only_kept()
    assert (kept["account"], kept["lane"], kept["method"], kept["size"]) == ("thundersms", "a", "POST", 2)
    assert kept["request"]["remote"] == "127.0.0.1"
    assert base64.b64decode(kept["request"]["body"]) == b"\xff\x00"
    assert kept["request"]["body_encoding"] == "base64"
    assert before.isoformat()[:10] <= kept["received_at"][:10]
    assert kept["received_at"].endswith("Z")


@pytest.mark.parametrize("path", ["/callbacks/thundersms", "/tel/v1/callbacks/thundersms"])
def test_a_path_prefix_of_the_public_address_may_be_stripped_or_not(sqlite_url: str, path: str) -> None:
    server = {"public_url": "https://calls.example.com/tel/v1/"}
    with Serving(sqlite_url, server=server, worker=False) as serving:
        assert believed(serving.callback({"a": 1}, path))
        assert serving.only_kept()["request"]["path"] == path


def test_a_prefix_that_is_called_callbacks_confuses_nobody(sqlite_url: str) -> None:
    server = {"public_url": "https://example.com/callbacks"}
    with Serving(sqlite_url, server=server, worker=False) as serving:
        assert believed(serving.callback({"a": 1}, "/callbacks/thundersms"))
        assert believed(serving.callback({"a": 1}, "/callbacks/callbacks/thundersms"))
