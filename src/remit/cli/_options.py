"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeAlias

import click

from remit.cli._failing import Failed
from remit.cli._terminal import emit

Database: TypeAlias = Path | str
"""The path of an SQLite file, or the URL of a PostgreSQL database."""


class DatabaseType(click.Path):
    """A file or a URL; reading a URL as a path would lose its double slashes."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Database:
        text = str(value)
        return text if "://" in text else Path(str(super().convert(value, param, ctx)))


class TextType(click.types.StringParamType):
    """A string; rejects arguments that are not valid Unicode."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(super().convert(value, param, ctx))
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            self.fail("is not UTF-8", param, ctx)
        return text


TEXT: Final = TextType()
db_option = click.option(
    "--db",
    type=DatabaseType(),
    metavar="FILE|URL",
    help="Database: a file, or postgresql://... Defaults to the local-mode database.",
)
read_option = click.option(
    "--db",
    type=DatabaseType(),
    metavar="FILE|URL",
    help="Database: a file, or postgresql://... Defaults to the server in REMIT_API_URL, or to the "
    "local-mode database if no server is set.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")


def confirm_deletion(question: str, *, yes: bool) -> None:
    """Ask *question* on standard error, unless *yes*.

    Raises:
        Failed: The answer is not yes, or there is no terminal.
    """
    try:
        if yes or click.confirm(question, err=True):
            return
    except click.Abort:
        emit(err=True)  # ends the line of the question
    raise Failed("nothing was deleted; without a terminal, confirm with --yes")
