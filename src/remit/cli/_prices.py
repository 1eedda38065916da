"""`remit prices`: the file with the prices of models."""

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
# Model prices per million tokens. remit does not include prices: enter those of your contract, and
# remove the # before them.
#
# `model` is the name in the record; `*` stands for any characters. The first entry that matches a
# model counts. With `from`, it counts from that day (UTC) on, so put a new price above the old one.
# Without `cached_input` and `cache_write`, these tokens cost as much as `input`.
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
    """Create the file with model prices."""


@prices.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=FILE)
@read_option
def init(file: Path, db: Database | None) -> None:
    """Create a price file that lists the models of the last 90 days.

    Enter the prices in it. Then pass the file to `remit serve --prices FILE` or, in local mode, set
    REMIT_PRICES=FILE. The command does not change an existing file.
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
    """Return the prices of the file that the settings name; None without one.

    Raises:
        SettingsError: The file is not valid.
    """
    # The other settings may be wrong: a command with --db does not need them.
    variable = config.environment_sources().get("prices")
    return None if variable is None else read_prices(Path(variable[1]).expanduser())
