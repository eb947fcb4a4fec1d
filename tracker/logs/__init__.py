"""Configures logging: readable lines on a terminal, JSON lines elsewhere, never a telephone number or a secret.

Entries of tracker (structlog) and of libraries (the standard library's logging: uvicorn, httpx, alembic, …) take the
same way: one formatter, then redaction of the finished entry. Write one wide entry per unit of work, and name it
`noun.verb_past`::

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
from typing import Any, Final, TextIO, cast

import structlog
from structlog.processors import ExceptionRenderer, TimeStamper, add_log_level
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from tracker.logs.redaction import Redactor

LEVELS: Final = {
    "debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR
}  # fmt: skip

#: loggers that write the URL of each request, at DEBUG also its headers, or a line per part of themselves
_VERBOSE_LOGGERS: Final = (
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
    """Set up all logging of this process. It may be called again, and then replaces the earlier set-up.

    Start uvicorn with `log_config=None`, because it would replace this set-up otherwise.

    `secrets`: masked wherever they occur (`Settings.secrets()`). `json`: None chooses JSON unless `stream`
    (standard error by default) is a terminal. `level`: one of `LEVELS`. Raises KeyError for another level.
    """
    stream = stream if stream is not None else sys.stderr
    threshold = LEVELS[level]
    redactor = Redactor(secrets)
    if json is None:
        json = not stream.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_log_level,
        TimeStamper(fmt="iso", utc=True),
    ]
    render = _json_renderer(redactor) if json else _console_renderer(redactor, colors=stream.isatty())

    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _LossyStream(stream))),
        # A cached logger would keep writing to the stream of the first configuration.
        cache_logger_on_first_use=False,
    )

    handler = _RedactingHandler(stream, redactor)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    _route_standard_logging(handler, threshold)
    _log_uncaught_exceptions()


def _route_standard_logging(handler: logging.Handler, threshold: int) -> None:
    """Send all entries of the standard library's logging through `handler` only."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # The path of a request can hold a number, and our own entry for the request has more in it.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    access.disabled = True
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def _json_renderer(redactor: Redactor) -> list[Processor]:
    # Without local variables, because they hold values in forms that redaction could miss.
    exceptions = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))

    def render(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> str:
        return _escape_surrogates(redactor.redact_json(_dump_json(dict(entry))))

    return [exceptions, render]


def _console_renderer(redactor: Redactor, *, colors: bool) -> list[Processor]:
    # rich's tracebacks show local variables, and break lines also in the middle of a number.
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)

    def render(logger: Any, method: str, entry: MutableMapping[str, Any]) -> str:
        return _escape_surrogates(redactor(console(logger, method, entry)))

    return [render]


def _dump_json(entry: dict[str, Any]) -> str:
    try:
        return jsonlib.dumps(entry, default=_simplify_value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # a key that is no text, a value that contains itself
        return jsonlib.dumps(
            {str(k): v if isinstance(v, str) else repr(v) for k, v in entry.items()}, ensure_ascii=False
        )


def _simplify_value(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _escape_surrogates(line: str) -> str:
    """Return the line with lone surrogates escaped: they can come from the network, and no stream can write them."""
    return line.encode("utf-8", "backslashreplace").decode()


class _LossyStream:
    """A stream that drops what it cannot write, so that a full disk or a closed pipe stops no work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _RedactingHandler(logging.StreamHandler[TextIO]):
    """A handler that also redacts its own failures. The standard one prints the message and its arguments then."""

    def __init__(self, stream: TextIO, redact: Callable[[str], str]) -> None:
        super().__init__(stream)
        self._redact = redact

    def handleError(self, record: logging.LogRecord) -> None:
        """Write where the entry comes from that could not be written. Never raises."""
        try:
            reason = self._redact(traceback.format_exc(limit=0).strip())
            self.stream.write(
                f"Cannot log an entry of {record.name} ({record.pathname}:{record.lineno}): {reason}\n"
            )
        except Exception:  # noqa: S110 - there is nowhere left to report it
            pass


def _log_uncaught_exceptions() -> None:
    """Send uncaught exceptions through the log, because their text can hold a number as well."""

    def log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            _log_crash((kind, error, trace))

    def log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            _log_crash(
                (args.exc_type, args.exc_value, args.exc_traceback), thread=args.thread and args.thread.name
            )

    sys.excepthook = log_uncaught
    threading.excepthook = log_uncaught_in_thread


def _log_crash(
    exc_info: tuple[type[BaseException], BaseException, TracebackType | None], **fields: object
) -> None:
    structlog.get_logger().error("process.crashed", exc_info=exc_info, **fields)
