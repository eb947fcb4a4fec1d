"""Opens what most commands begin with: the settings, the log, the database, the services.

An error about the database then says which database it is, which configuration names it, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import StorageUnavailable

if TYPE_CHECKING:
    from tracker.lifecycle.services import Services
    from tracker.settings import Settings
    from tracker.store.engine.database import Database


class LocatedStorageUnavailable(StorageUnavailable):
    """A database cannot be used now, and this message already says which one and what to do."""


def load_cli_settings(*, warn: bool = True) -> Settings:
    """Load the settings, and log to standard error from warnings on.

    warn: also print a sentence for each environment variable that is ignored and was probably meant as a setting.
    Raises ConfigurationError.
    """
    import typer

    from tracker.logs import configure_logs
    from tracker.settings import load_settings

    settings = load_settings()
    configure_logs(secrets=settings.secrets(), level="warning")
    for warning in settings.ignored_variables if warn else ():
        typer.echo(f"{warning}.", err=True)
    return settings


@contextmanager
def open_database(settings: Settings, *, create: bool = False) -> Iterator[Database]:
    """Open the configured database and check its schema.

    create: make an SQLite file that does not exist. The empty database of a server is never filled here, because that
    is the work of `tracker db upgrade` or `tracker serve`. Raises SchemaMismatch, StorageUnavailable,
    ConfigurationError. A NotFound that is raised inside is extended by the place of the database.
    """
    from tracker.errors import ConfigurationError, NotFound
    from tracker.store.engine.database import Database
    from tracker.store.schema.upgrade import prepare

    with database_error_context(settings):
        database = Database(settings.database_url)
        try:
            if database.path is not None and not (folder := database.path.absolute().parent).is_dir():
                source = (
                    settings.config_file.absolute() if settings.config_file else settings.no_file_phrase()
                )
                raise ConfigurationError(
                    f"There is no directory {folder} for the database {database.path.absolute()}. Make it, or correct "
                    f"`database.url` (configuration: {source})."
                )
            prepare(database, create=create and database.is_sqlite)
            if not create:  # a command that creates requires accounts, and so a configuration
                warn_if_database_unnamed(settings)
            try:
                yield database
            except NotFound as error:
                raise NotFound(
                    f"{error} Look at `tracker calls` and `tracker inbox list`, or into another database: this was "
                    f"{settings.database_location}."
                ) from error
        finally:
            database.close()


def warn_if_database_unnamed(settings: Settings) -> None:
    """Say on standard error which database is used if no configuration names one.

    Otherwise somebody in a hurry pauses the wrong database and does not notice.
    """
    import typer

    from tracker.cli.output.text import escape_control

    if settings.is_database_named:
        return
    missing = settings.no_file_phrase()
    warning = (
        f"{missing[0].upper()}{missing[1:]}: this is about {settings.database_location}. If you mean another "
        "database, go to the directory of its tracker.toml, or set TRACKER_CONFIG."
    )
    typer.echo(escape_control(warning), err=True)


@contextmanager
def database_error_context(settings: Settings) -> Iterator[None]:
    """Extend errors about the database by its place, the configuration that names it, and what to do."""
    from tracker.errors import SchemaMismatch
    from tracker.store.engine.error_hints import error_hint

    source = (
        f"configuration: {settings.config_file.absolute()}"
        if settings.config_file
        else settings.no_file_phrase()
    )
    try:
        yield
    except SchemaMismatch as error:
        raise SchemaMismatch(
            f"{_without_stop(error)}. Database: {settings.database_location}; {source}. If you mean another one, go to "
            "the directory of its tracker.toml, set TRACKER_CONFIG, or write one with `tracker init`."
        ) from error
    except LocatedStorageUnavailable:
        raise
    except StorageUnavailable as error:
        hint = error_hint(error.__cause__, Path(settings.database_location) if settings.is_sqlite else None)
        place = f"Database: {settings.database_location}; {source}."
        raise StorageUnavailable(" ".join(filter(None, (f"{_without_stop(error)}.", place, hint)))) from error


def _without_stop(error: Exception) -> str:
    return str(error).removesuffix(".")


@contextmanager
def open_services(*, create: bool = False) -> Iterator[Services]:
    """Build all services over the configured database.

    create: for commands that place calls. It requires an account before it makes a database.
    """
    from tracker.lifecycle.services import build_services

    settings = load_cli_settings()
    if create:
        settings.require_accounts()
    with open_database(settings, create=create) as database:
        yield build_services(database, settings.account_values())
