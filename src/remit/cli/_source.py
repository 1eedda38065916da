"""Opens the source of a command: a database, or the configured server."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from operator import methodcaller
from typing import Any, Final

import click

from remit import config
from remit._base.clock import SystemClock
from remit._runtime.targets import remote_client
from remit.cli._failing import Failed, missing_library
from remit.cli._options import Database
from remit.cli._reader import ApiReader
from remit.cli._terminal import emit, emit_json, faint
from remit.config import Settings
from remit.errors import ContractError, NotFoundError

# Imported by name, because it needs the extra `collector`.
LOCAL: Final = "remit.cli._local"


@contextmanager
def reader_of(
    db: Database | None, settings: Settings | None = None, *, writing: bool = False
) -> Generator[ApiReader]:
    """Return a block that reads *db*, else the configured server.

    Without a URL and a token, and in local mode, the block reads local mode's database.

    Args:
        settings: Settings with the server; by default those of the environment.
        writing: Whether the block may change a database.
    """
    if db is None:
        settings = settings or config.load({})
        if settings.mode != "local" and settings.api_url and settings.api_token:
            with (
                closing(remote_client(settings, SystemClock())) as http,
                ApiReader(http, http.target.url) as reader,
            ):
                yield reader
            return
    try:
        local = import_module(LOCAL)
    except ModuleNotFoundError as error:
        _, name, *_ = click.get_current_context().command_path.split()
        raise missing_library(name, error) from error
    with (
        local.client_of(db, writing=writing) as (client, place),
        ApiReader(client, place) as reader,
    ):
        yield reader


@contextmanager
def supported(reader: ApiReader, otherwise: str) -> Generator[None]:
    """Make requests of remit's own API in a block; another server does not have its endpoints.

    Args:
        otherwise: Predicate of the error message for such a server: `does not have holds`.

    Raises:
        Failed: The server does not have the endpoint.
    """
    try:
        yield
    except (NotFoundError, ContractError) as error:
        raise Failed(
            f"{reader.place} {otherwise}: it is not a remit collector, or of an earlier version"
        ) from error


def printed(
    reader: ApiReader,
    found: Sequence[object],
    *,
    as_json: bool,
    nothing: str,
    form: Callable[[Any], object] = methodcaller("model_dump", mode="json"),
) -> bool:
    """Print a list as JSON, or *nothing* for an empty one; return False if neither applies."""
    if as_json:
        print_json(reader, [*map(form, found)])
    elif not found:
        emit(f"{nothing} in {reader.place}.")
    return as_json or not found


def print_json(reader: ApiReader, value: object) -> None:
    """Print *value* as JSON, and the source of *reader* on standard error."""
    emit_json(value)
    say_place(reader, err=True)


def say_place(reader: ApiReader, *, err: bool) -> None:
    """Print the source of *reader*, on standard error if *err* (next to JSON)."""
    emit(faint(f"Read from {reader.place}."), err=err)
