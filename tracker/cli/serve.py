"""`tracker serve` and `tracker worker`: the processes that stay."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tracker.cli import app

if TYPE_CHECKING:
    from tracker.settings import Settings

LogFormat = Annotated[
    Literal["auto", "json", "console"],
    typer.Option(help="How the log is written to standard error; auto: for people at a terminal, else JSON."),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], typer.Option(help="The least that is logged.")
]


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Listen on this address, whatever server.host says.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Listen on this port, whatever server.port says; 0: a free one."),
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Also join, send and ask in this process.")
    ] = True,
    log_format: LogFormat = "auto",
    log_level: LogLevel = "info",
) -> None:
    """Take callbacks in, answer the API, and do the work that is due. Ends cleanly on SIGTERM and Ctrl-C."""
    settings = _started(log_format, log_level, host=host, port=port)
    from tracker.cli.context import located
    from tracker.web.server import run

    with _refusals_logged(log_format), located(settings):
        settings.require_receivable()
        run(settings, host=settings.server.host, port=settings.server.port, run_worker=worker)


@app.command()
def worker(log_format: LogFormat = "auto", log_level: LogLevel = "info") -> None:
    """Do the work that is due, without a server; as many beside each other as wanted. Ends cleanly on SIGTERM."""
    import asyncio
    import signal
    from concurrent.futures import ThreadPoolExecutor

    from tracker import runtime
    from tracker.cli.context import opened
    from tracker.lifecycle.services import build_services
    from tracker.store.engine.database import THREADS
    from tracker.worker import Worker

    settings = _started(log_format, log_level)

    async def run() -> None:
        working = Worker(
            build_services(database, settings.account_values(), keep=settings.retention.keep, beside=True)
        )
        loop = asyncio.get_running_loop()
        # as in the server: the default is a few threads for each processor, and fifty sends may wait for the database
        loop.set_default_executor(ThreadPoolExecutor(THREADS, "database"))
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, working.stop)
        await working.run()

    with _refusals_logged(log_format), opened(settings, create=True) as database:
        runtime.tune_runtime()
        asyncio.run(run())


def _started(
    log_format: str, log_level: str, *, host: str | None = None, port: int | None = None
) -> Settings:
    """The settings, with the log configured and the start said there; host and port go before server's own.

    Raises ConfigurationError, also where no account is configured.
    """
    import structlog

    from tracker import __version__
    from tracker.logs import configure_logs
    from tracker.settings import load_settings

    settings = load_settings()
    settings.require_accounts()
    settings = settings.listening(host=host, port=port)
    configure_logs(secrets=settings.secrets(), json=_is_json(log_format), level=log_level)
    log = structlog.get_logger()
    log.info("process.started", version=__version__, settings=settings.summary())
    for warning in [*settings.lacks(), *settings.warnings()]:
        log.warning("settings.warning", warning=warning)
    return settings


@contextmanager
def _refusals_logged(log_format: str) -> Iterator[None]:
    """A log of JSON lines stays one: why we end, which people read as a sentence, is an entry there."""
    import structlog

    from tracker.cli.myself import as_called
    from tracker.errors import TrackerError

    try:
        yield
    except TrackerError as error:
        if not _is_json(log_format):
            raise
        structlog.get_logger().error("process.refused", error=as_called(str(error)))
        raise typer.Exit(1) from None


def _is_json(log_format: str) -> bool:
    return log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
