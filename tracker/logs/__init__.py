"""Logs: for people on a terminal, JSON lines otherwise, and never a telephone number or a secret.

The program's own entries (structlog) and those of the libraries (the standard library's logging: uvicorn, httpx,
alembic, …) take the same way: one formatter, then redaction of the finished entry. One wide entry per unit of work,
named `noun.verb_past`::

    log = structlog.get_logger()
    log.info("callback.stored", callback="cb_01…", account="thundersms", size=312)
"""

from __future__ import annotations

import json as jsonlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from structlog.processors import ExceptionRenderer, TimeStamper, add_log_level
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from tracker.logs.redaction import Redactor

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

#: They log a line for every request, with the whole URL in it, at DEBUG also headers; or for every part of themselves.
_CHATTY = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "asyncio",
    "alembic.runtime.migration",
    "alembic.runtime.plugins",
)


def configure_logs(
    *, secrets: Iterable[str], json: bool | None = None, level: str = "info", stream: TextIO | None = None
) -> None:
    """Sets up all logging of this process; may be called again.

    `secrets`: what is removed wherever it occurs (`Settings.secrets()`). `json`: None decides by whether `stream`
    (standard error by default) is a terminal. `level`: one of `LEVELS`; KeyError otherwise. Start uvicorn with
    `log_config=None`, so that it leaves this as it is.
    """
    stream = stream if stream is not None else sys.stderr
    threshold = LEVELS[level]
    redact = Redactor(secrets)
    if json is None:
        json = not stream.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_log_level,
        TimeStamper(fmt="iso", utc=True),
    ]
    render = _json_renderer(redact) if json else _console_renderer(redact, colors=stream.isatty())

    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Unfailing(stream))),
        # A cached logger would keep writing to the stream of the first configuration.
        cache_logger_on_first_use=False,
    )

    handler = _Handler(stream, redact)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    _take_over(handler, threshold)
    _report_crashes()


def _take_over(handler: logging.Handler, threshold: int) -> None:
    """Makes `handler` the only way out of the standard library's logging."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # The path of a request can hold a number, and our own entry for it says more.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    access.disabled = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def _json_renderer(redact: Redactor) -> list[Processor]:
    # Local variables in tracebacks hold everything that redaction could miss.
    exceptions = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))

    def render(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> str:
        return _writable(redact.redact_json(_to_json(dict(entry))))

    return [exceptions, render]


def _console_renderer(redact: Redactor, *, colors: bool) -> list[Processor]:
    # plain_traceback: rich's shows local variables and breaks lines, also in the middle of a number.
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)

    def render(logger: Any, method: str, entry: MutableMapping[str, Any]) -> str:
        return _writable(redact(console(logger, method, entry)))

    return [render]


def _to_json(entry: dict[str, Any]) -> str:
    try:
        return jsonlib.dumps(entry, default=_plain, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # a key that is no text, something that contains itself
        return jsonlib.dumps(
            {str(k): v if isinstance(v, str) else repr(v) for k, v in entry.items()}, ensure_ascii=False
        )


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _writable(line: str) -> str:
    """Lone surrogates can come in from the network, and no stream can write them."""
    return line.encode("utf-8", "backslashreplace").decode()


class _Unfailing:
    """A log that cannot be written, on a full disk or to a reader that is gone, stops no work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _Handler(logging.StreamHandler[TextIO]):
    """Where logging itself fails, the standard handler prints the message and its arguments as they are."""

    def __init__(self, stream: TextIO, redact: Callable[[str], str]) -> None:
        super().__init__(stream)
        self._redact = redact

    def handleError(self, record: logging.LogRecord) -> None:
        """Says where the entry comes from that could not be written; never raises."""
        try:
            reason = self._redact(traceback.format_exc(limit=0).strip())
            self.stream.write(
                f"cannot log an entry of {record.name} ({record.pathname}:{record.lineno}): {reason}\n"
            )
        except Exception:  # noqa: S110 - nothing is left to tell it to
            pass


def _report_crashes() -> None:
    """Sends what nobody caught through the log, because its text is as likely to hold a number as any other."""

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            _log_crash((kind, error, trace))

    def thread_crashed(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            _log_crash(
                (args.exc_type, args.exc_value, args.exc_traceback), thread=args.thread and args.thread.name
            )

    sys.excepthook = crashed
    threading.excepthook = thread_crashed


def _log_crash(
    exc_info: tuple[type[BaseException], BaseException, TracebackType | None], **fields: object
) -> None:
    structlog.get_logger().error("process.crashed", exc_info=exc_info, **fields)
