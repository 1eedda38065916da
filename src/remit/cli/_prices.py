"""`remit prices`: the file that contains model prices."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from remit import config
from remit._base.text import number_of
from remit.cli._failing import Failed
from remit.cli._options import Database, read_option
from remit.cli._source import reader_of
from remit.cli._terminal import emit
from remit.cli._wire import get
from remit.collector.prices import Prices, read_prices
from remit.models.remit_api import CostList

FILE: Final = "prices.toml"
SEEN: Final = timedelta(days=90)
_EXAMPLE: Final = "provider-model-1"
_HEAD: Final = """\
# Model prices per million tokens. remit does not include prices: enter the prices of your contract,
# and remove the # at the start of their lines.
#
# `model` is the model name in the record; `*` matches any characters. remit uses the first entry
# that matches a model. An entry with `from` applies from that day (UTC), so put a new price above
# the old one. Without `cached_input` or `cache_write`, these tokens cost as much as `input`.
currency = "USD"
"""
_ENTRY: Final = """
[[models]]
model = {model}
# from = {day}
# input =
# cached_input =
# cache_write =
# output =
"""


@click.group()
def prices() -> None:
    """Create a file for model prices."""


@prices.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=FILE)
@read_option
def init(file: Path, db: Database | None) -> None:
    """Write a price file with the models of the last 90 days.

    Enter the prices before you use the file. Pass it to a server with `remit serve --prices FILE`.
    For the local database, set REMIT_PRICES=FILE. The command does not change an existing file.
    """
    now = datetime.now(UTC)
    with reader_of(db) as reader, reader.listing("costs"):
        since = (now - SEEN).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        response = reader.client.send(get("/costs", CostList, {"by": "model", "since": since}))
        place = reader.place
    models = [group.model for group in response.costs if group.model]
    entries = [
        _ENTRY.format(model=json.dumps(model, ensure_ascii=False), day=now.date())
        for model in models or [_EXAMPLE]
    ]
    try:
        with file.open("x", encoding="utf-8") as writer:
            writer.write(_HEAD + "".join(entries))
    except FileExistsError:
        raise Failed(f"{file} exists: name another file") from None
    except OSError as error:
        raise Failed(f"{file} cannot be written: {error.strerror or error}") from error
    emit(f"Wrote {file} with {number_of(len(models), 'model')} of {place}: enter the prices.")


def configured_prices() -> Prices | None:
    """Return the prices in the file that the settings name, or None without such a file.

    Raises:
        SettingsError: If the file is not valid.
    """
    # The other settings can be invalid, because a command with --db does not need them.
    variable = config.environment_sources().get("prices")
    return None if variable is None else read_prices(Path(variable[1]).expanduser())
