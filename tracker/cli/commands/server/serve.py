"""`tracker serve` and `tracker worker`: the processes that keep running."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tracker.joiner_process import JoinerProcess
    from tracker.settings import Settings

LogFormat = Annotated[
    Literal["auto", "json", "console"],
    typer.Option(help="Format of the log on standard error; auto: console on a terminal, else json."),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], typer.Option(help="The lowest level that is logged.")
]


def serve(
    host: Annotated[str | None, typer.Option(help="Listen on this address instead of server.host.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Listen on this port instead of server.port; 0: a free one."),
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Also join, send and ask in this process.")
    ] = True,
    log_format: LogFormat = "auto",
    log_level: LogLevel = "info",
) -> None:
    """Run the server: take callbacks, answer the API, do due work.

    Ends cleanly on SIGTERM and Ctrl-C.
    """
    settings = _start(log_format, log_level, host=host, port=port)
    from tracker.cli.context import database_error_context
    from tracker.web.server import run

    with _log_refusals(log_format), database_error_context(settings):
        settings.require_authenticated_callbacks()
        run(
            settings,
            host=settings.server.host,
            port=settings.server.port,
            run_worker=worker,
            joiner=_joiner_process(settings, log_format, log_level),
        )


def worker(log_format: LogFormat = "auto", log_level: LogLevel = "info") -> None:
    """Run a worker: do due work without a server.

    Any number of workers may run beside each other. Ends cleanly on SIGTERM and Ctrl-C.
    """
    import asyncio
    import signal
    from concurrent.futures import ThreadPoolExecutor

    from tracker import runtime
    from tracker.cli.context import open_database
    from tracker.lifecycle.services import build_services
    from tracker.store.engine.database import THREADS
    from tracker.worker import Worker

    settings = _start(log_format, log_level)

    async def run() -> None:
        services = build_services(database, settings.account_values(), keep=settings.retention.keep)
        worker = Worker(services, _joiner_process(settings, log_format, log_level))
        loop = asyncio.get_running_loop()
        # as in the server: the default is a few threads for each processor, but fifty sends may wait for the database
        loop.set_default_executor(ThreadPoolExecutor(THREADS, "database"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()

    with _log_refusals(log_format), open_database(settings, create=True) as database:
        runtime.tune_runtime()
        asyncio.run(run())


def _joiner_process(settings: Settings, log_format: str, log_level: str) -> JoinerProcess:
    from tracker.joiner_process import JoinerConfig, JoinerProcess

    return JoinerProcess(
        JoinerConfig(
            database_url=settings.database_url,
            accounts=settings.account_values(),
            log_secrets=settings.secrets(),
            log_json=_is_json(log_format),
            log_level=log_level,
        )
    )


def _start(log_format: str, log_level: str, *, host: str | None = None, port: int | None = None) -> Settings:
    """Load the settings, configure the log, and log the start.

    host, port: replace the server's own if they are given. Raises ConfigurationError, also if no account is configured.
    """
    import structlog

    from tracker import __version__
    from tracker.logs import configure_logs
    from tracker.settings import load_settings, summarise_settings

    settings = load_settings()
    settings.require_accounts()
    settings = settings.with_address(host=host, port=port)
    configure_logs(secrets=settings.secrets(), json=_is_json(log_format), level=log_level)
    log = structlog.get_logger()
    log.info("process.started", version=__version__, settings=summarise_settings(settings))
    for warning in [*settings.limitations(), *settings.warnings()]:
        log.warning("settings.warning", warning=warning)
    return settings


@contextmanager
def _log_refusals(log_format: str) -> Iterator[None]:
    """Log the reason for ending as an entry if the log is JSON; otherwise it is printed as a sentence."""
    import structlog

    from tracker.cli.program_name import with_program_name
    from tracker.errors import TrackerError

    try:
        yield
    except TrackerError as error:
        if not _is_json(log_format):
            raise
        structlog.get_logger().error("process.refused", error=with_program_name(str(error)))
        raise typer.Exit(1) from None


def _is_json(log_format: str) -> bool:
    return log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
