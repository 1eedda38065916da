"""Model prices from the operator's TOML file, and costs computed from these prices.

remit does not include prices. It computes a cost when the cost is read, so a corrected file also
corrects the costs of earlier runs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from remit._base.costs import PRICES, REPORTED, Cost
from remit.collector.model_usage import ModelUsage
from remit.errors import SettingsError

_MILLION: Final = Decimal(1_000_000)
_PLACES: Final = 12
_US_PER_DAY: Final = 24 * 3600 * 1_000_000
_EPOCH: Final = date(1970, 1, 1).toordinal()
_Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class Price(BaseModel):
    """Prices per million tokens for the models that match a pattern."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1)]
    """Name of the model. `*` matches any characters."""
    valid_from: Annotated[date, Field(alias="from")] = date.min
    """First day on which the price applies, in UTC."""
    input: _Amount
    """Price of prompt tokens that no cache served."""
    output: _Amount
    """Price of output tokens, including reasoning tokens."""
    cached_input: _Amount | None = None
    """Price of prompt tokens that a cache served. The default is the price of `input`."""
    cache_write: _Amount | None = None
    """Price of prompt tokens that were written to a cache. The default is the price of `input`."""

    def cost_of(self, usage: ModelUsage) -> Decimal:
        """Return the cost of a model's usage."""
        cached, written = usage.cached, usage.cache_write
        plain = max(0, usage.tokens_in - cached - written)
        cached_input = self.input if self.cached_input is None else self.cached_input
        cache_write = self.input if self.cache_write is None else self.cache_write
        cost = (
            plain * self.input
            + cached * cached_input
            + written * cache_write
            + usage.tokens_out * self.output
        )
        return round(cost / _MILLION, _PLACES)


class Prices(BaseModel):
    """The contents of a price file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    """Currency of all prices, such as `USD`."""
    models: tuple[Price, ...]
    """The prices. The first price that matches the model and applies on the day is used."""

    def price_of(self, model: str, day: date) -> Price | None:
        """Return the price of a model on a day, or None if no price applies."""
        valid = (price for price in self.models if price.valid_from <= day)
        return next((price for price in valid if fnmatchcase(model, price.model)), None)


class Costs(NamedTuple):
    """The costs of a group of model calls.

    Attributes:
        amounts: At most one for each currency and source.
        without_price: Number of calls without a price or a reported cost.
    """

    amounts: Sequence[Cost]
    without_price: int


def costs_of(used: Iterable[tuple[ModelUsage, int]], prices: Prices | None) -> Costs:
    """Return the costs of model usage.

    The prices in the file are used. For a model without a price, the cost that its library reported
    is used.

    Args:
        used: Usages of models, each with its run's start time in microseconds since 1970.
    """
    found: dict[tuple[str, str], Cost] = {}
    without = 0
    for usage, at_us in used:
        price = None if prices is None else prices.price_of(usage.model, day_of(at_us))
        if prices is not None and price is not None:
            first = None if price.valid_from == date.min else price.valid_from.isoformat()
            amounts = [Cost(price.cost_of(usage), prices.currency, PRICES, first)]
        else:
            amounts = [Cost(usage.costs[name], name, REPORTED) for name in usage.costs]
            without += usage.calls - usage.with_cost
        for one in amounts:
            key = one.currency, one.source
            before = found.get(key)
            found[key] = one if before is None else _sum(before, one)
    return Costs([found[key] for key in sorted(found)], without)


def day_of(at_us: int) -> date:
    """Return the UTC day of a time."""
    return date.fromordinal(_EPOCH + at_us // _US_PER_DAY)


def read_prices(path: Path) -> Prices:
    """Return the prices in a file.

    Raises:
        SettingsError: If the file cannot be read or is not a valid price file.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
        return Prices.model_validate(content)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError(
            f"{path}: {place}: {first['msg']}. `remit prices init` writes a template"
        ) from error


def _sum(one: Cost, other: Cost) -> Cost:
    latest = max(one.prices_from or "", other.prices_from or "") or None
    return one._replace(amount=one.amount + other.amount, prices_from=latest)
