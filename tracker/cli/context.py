"""What most commands begin with: the settings, the log, the database, the program."""

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


class LocatedAlready(StorageUnavailable):
    """A database cannot be used now, and this says which one it is and what to do."""


def configured(*, warn: bool = True) -> Settings:
    """The settings, and a log that tells people at a terminal only what they should look at.

    The log goes to standard error, and so do variables that were probably meant as settings (unless not `warn`). Raises
    ConfigurationError.
    """
    import typer

    from tracker.logs import configure_logs
    from tracker.settings import load_settings

    settings = load_settings()
    configure_logs(secrets=settings.secrets(), level="warning")
    for warning in settings.misnamed if warn else ():
        typer.echo(f"{warning}.", err=True)
    return settings


@contextmanager
def opened(settings: Settings, *, create: bool = False) -> Iterator[Database]:
    """The configured database, its schema looked at.

    create: an SQLite file that does not exist is made; a server's empty database never is, for that is the work of
    `tracker db upgrade` or `tracker serve`. Where nothing says which database is meant, that is told. Raises
    SchemaMismatch, StorageUnavailable, ConfigurationError; NotFound that is raised inside then says where.
    """
    from tracker.errors import ConfigurationError, NotFound
    from tracker.store.engine.database import Database
    from tracker.store.schema.upgrade import prepare

    with located(settings):
        database = Database(settings.database_url)
        try:
            if database.path is not None and not (folder := database.path.absolute().parent).is_dir():
                named = settings.config_file.absolute() if settings.config_file else settings.no_file()
                raise ConfigurationError(
                    f"There is no directory {folder} for the database {database.path.absolute()}: make it, or correct "
                    f"database.url (configuration: {named})."
                )
            prepare(database, create=create and database.is_sqlite)
            if not create:  # who creates wants accounts, which nobody configures without a thought
                tell_unnamed(settings)
            try:
                yield database
            except NotFound as error:
                raise NotFound(
                    f"{error} Look at `tracker calls` and `tracker inbox list`, or into another database: this was "
                    f"{settings.database_place}."
                ) from error
        finally:
            database.close()


def tell_unnamed(settings: Settings) -> None:
    """On standard error, where nothing says which database is meant: in an emergency somebody pauses the wrong one."""
    import typer

    from tracker.cli.terminal import harmless

    if settings.names_database:
        return
    missing = settings.no_file()
    told = (
        f"{missing[0].upper()}{missing[1:]}: this is about {settings.database_place}. If you mean another database, go "
        "to the directory of its tracker.toml, or set TRACKER_CONFIG."
    )
    typer.echo(harmless(told), err=True)


@contextmanager
def located(settings: Settings) -> Iterator[None]:
    """What goes wrong with the database then says which one it is, which configuration names it, and what to do."""
    from tracker.cli.remedies import remedy
    from tracker.errors import SchemaMismatch

    read = f"configuration: {settings.config_file.absolute()}" if settings.config_file else settings.no_file()
    try:
        yield
    except SchemaMismatch as error:
        raise SchemaMismatch(
            f"{error}. Database: {settings.database_place}; {read}. If you mean another one, go to the directory of "
            "its tracker.toml, set TRACKER_CONFIG, or write one with `tracker init`."
        ) from error
    except LocatedAlready:
        raise
    except StorageUnavailable as error:
        todo = remedy(error.__cause__, Path(settings.database_place) if settings.is_sqlite else None)
        hint = f"; {todo}" if todo else ""
        raise StorageUnavailable(f"{error}. Database: {settings.database_place}; {read}{hint}") from error


@contextmanager
def assembled(*, create: bool = False) -> Iterator[Services]:
    """The whole program over the configured database; for commands that write.

    create: it is there to place calls, so it also wants an account, and says so before it makes a database.
    """
    from tracker.lifecycle.services import build_services

    settings = configured()
    if create:
        settings.require_accounts()
    with opened(settings, create=create) as database:
        yield build_services(database, settings.account_values())
