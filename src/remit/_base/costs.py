"""Costs of model calls in words."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

PRICES: Final = "prices"
REPORTED: Final = "reported"
_LEAST_SHOWN: Final = Decimal("0.0001")
"""Smaller amounts are shown as less than it."""


class Cost(NamedTuple):
    """An amount in a currency.

    Attributes:
        source: `prices` of a file, or `reported` by a library.
        prices_from: First day of the latest price that was used, as in `2026-12-01`.
    """

    amount: Decimal
    currency: str
    source: str
    prices_from: str | None = None


def money(amount: Decimal, currency: str) -> str:
    """Return an amount with its currency, as in `12.30 USD` and `0.0042 USD`."""
    if amount >= 1 or not amount:
        return f"{amount:,.2f} {currency}"
    if amount < _LEAST_SHOWN:
        return f"under {_LEAST_SHOWN} {currency}"
    return f"{amount:.4f} {currency}"


def total(costs: Iterable[Cost]) -> str:
    """Return the sum of each currency; empty without a cost."""
    sums: dict[str, Decimal] = {}
    for cost in costs:
        sums[cost.currency] = sums.get(cost.currency, Decimal()) + cost.amount
    return " + ".join(money(amount, currency) for currency, amount in sums.items())


def source_of(cost: Cost) -> str:
    """Return where a cost comes from: `by your prices of 2026-12-01`."""
    if cost.source == REPORTED:
        return "reported by the library"
    return f"by your prices of {cost.prices_from}" if cost.prices_from else "by your prices"


def explained(costs: Iterable[Cost], without_price: int) -> str:
    """Return each cost with its source, and the calls without one; empty without a cost."""
    parts = [f"{money(cost.amount, cost.currency)} {source_of(cost)}" for cost in costs]
    if parts and without_price:
        parts.append(unpriced(without_price))
    return ", ".join(parts)


def unpriced(calls: int) -> str:
    """Return a number of model calls that have no price."""
    return f"{calls:,} call{'' if calls == 1 else 's'} without a price"
