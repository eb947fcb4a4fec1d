"""Plants a number and a secret in every place of a log entry."""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings

import structlog

NUMBER = "+918919525224"
SECRET = 'hunter2-"and"-more'
URL = f"https://portal.example.com/send?access_token=unconfigured-token&to={NUMBER[1:]}"
UNCONFIGURED = "unconfigured-token"


class ThingWithSecrets:
    """An object with a number and a secret in its repr."""

    def __repr__(self) -> str:
        return f"<thing of {NUMBER} with {SECRET}>"


def fail(local: str) -> None:
    password = local + SECRET  # a traceback with local variables would show it
    raise ValueError(f"cannot dial {NUMBER} with {SECRET} at {URL}{password[:0]}")


def plant_in_a_field() -> None:
    structlog.get_logger().info(
        "call.placed", to=NUMBER, bare=int(NUMBER[1:]), key=SECRET, thing=ThingWithSecrets()
    )


def plant_in_nested_fields() -> None:
    body = json.dumps({"to": int(NUMBER[1:]), "secret": SECRET})
    fields = {
        "numbers": [NUMBER, {NUMBER: SECRET}],
        "raw": body.encode(),
        "pair": (NUMBER, SECRET),
        "set": {SECRET},
    }
    structlog.get_logger().warning("callback.stored", **fields, body=body, url=URL)


def plant_in_context() -> None:
    with structlog.contextvars.bound_contextvars(to=NUMBER, authorization=f"Bearer {UNCONFIGURED}"):
        structlog.get_logger().bind(secret=SECRET).error("call.refused")


def plant_in_the_message() -> None:
    structlog.get_logger().info(f"dialled {NUMBER} with {SECRET} at {URL}")


def plant_in_an_exception() -> None:
    try:
        fail("local ")
    except ValueError as error:
        try:
            raise RuntimeError(f"sending to {NUMBER[1:]} with {SECRET}") from error
        except RuntimeError:
            structlog.get_logger().exception("sending.failed")
            logging.getLogger("somebody").exception("sending to %s failed", NUMBER)


def plant_in_a_record_of_the_standard_library() -> None:
    logging.getLogger("somebody").warning(
        "dialled %s with %s at %s", NUMBER, SECRET, URL, extra={"to": NUMBER}
    )
    logging.getLogger("somebody").debug(f"dialled {NUMBER} with {SECRET}", stack_info=True)


def plant_in_records_of_uvicorn() -> None:
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", f"/numbers/{NUMBER}?token={SECRET}", "1.1", 200
    )
    logging.getLogger("uvicorn.error").error(
        "Exception in ASGI application for %s\n",
        NUMBER,
        extra={"color_message": f"\x1b[1m{NUMBER} {SECRET}\x1b[0m"},
    )


def plant_in_records_of_httpx() -> None:
    logging.getLogger("httpx").info('HTTP Request: %s %s "%s %d %s"', "POST", URL, "HTTP/1.1", 200, "OK")
    logging.getLogger("httpcore.http11").debug(
        "send_request_headers.started request=%r", [(b"Authorization", f"Bearer {SECRET}".encode())]
    )
    logging.getLogger("httpx").warning(
        "refused by %s with %r", URL, {"Authorization": f"Bearer {UNCONFIGURED}"}
    )


def plant_in_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"{NUMBER} {SECRET}", stacklevel=1)


def plant_in_an_uncaught_exception() -> None:
    try:
        fail("local ")
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)


def plant_in_an_uncaught_exception_of_a_thread() -> None:
    thread = threading.Thread(target=fail, args=("local ",))
    thread.start()
    thread.join()


PLANTERS = [
    plant_in_a_field,
    plant_in_nested_fields,
    plant_in_context,
    plant_in_the_message,
    plant_in_an_exception,
    plant_in_a_record_of_the_standard_library,
    plant_in_records_of_uvicorn,
    plant_in_records_of_httpx,
    plant_in_a_warning,
    plant_in_an_uncaught_exception,
    plant_in_an_uncaught_exception_of_a_thread,
]
