"""Model usage of a run: the number of calls, tokens and reported costs per model.

The totals are stored with the run as JSON. Costs that depend on a price file are computed when they
are read (`remit.collector.prices`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, cast

import msgspec

MOST_MODELS: Final = 20
"""Maximum number of models per run. Calls of further models are counted under `OTHER`."""
OTHER: Final = "other models"
MOST_CHARS: Final = 200
_MOST_COUNT: Final = 2**53
_MOST_AMOUNT: Final = Decimal(10) ** 9
_AMOUNT_CHARS: Final = 40
_CURRENCY_CHARS: Final = 3


class ModelUsage(msgspec.Struct, array_like=True):
    """The usage of one model.

    Attributes:
        tokens_in: Tokens of all prompts, including tokens read from or written to a cache.
        costs: Costs that libraries reported, by currency.
        with_cost: Number of calls with a reported cost.
    """

    model: str
    calls: int = 0
    tokens_in: int = 0
    cached: int = 0
    cache_write: int = 0
    tokens_out: int = 0
    costs: dict[str, Decimal] = {}
    with_cost: int = 0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.tokens_in + self.tokens_out

    def add(self, other: ModelUsage) -> None:
        """Add the model's usage from another record."""
        self.calls += other.calls
        self.tokens_in += other.tokens_in
        self.cached += other.cached
        self.cache_write += other.cache_write
        self.tokens_out += other.tokens_out
        self.with_cost += other.with_cost
        for currency, amount in other.costs.items():
            self.costs[currency] = self.costs.get(currency, Decimal()) + amount


class _Call(msgspec.Struct):
    """The members of a payload that name the model."""

    model_name: object = None
    model: object = None


_read: Final = msgspec.json.Decoder(list[ModelUsage])
_read_call: Final = msgspec.json.Decoder(_Call)


def usage_of_call(payload: str, result: Mapping[str, object]) -> ModelUsage | None:
    """Return the usage of one model call, or None if its result has no tokens and no cost.

    Args:
        payload: The payload of the span, as JSON.
        result: The result of the span. It names the model that responded, if that is known.
    """
    usage, details = _members(result, "token_usage"), _members(result, "usage_details")
    cost = _cost(_members(result, "cost"))
    if not usage and cost is None:
        return None
    model = result.get("response_model")
    if not isinstance(model, str) or not model:
        call = _read_call.decode(payload)
        model = call.model_name or call.model
    return ModelUsage(
        model[:MOST_CHARS] if isinstance(model, str) else "",
        1,
        _count(usage, "prompt_tokens"),
        _count(details, "cache_read"),
        _count(details, "cache_write"),
        _count(usage, "completion_tokens"),
        {} if cost is None else dict([cost]),
        int(cost is not None),
    )


def usage_in(text: str | None) -> list[ModelUsage]:
    """Return the model usage that is stored with a run."""
    return [] if text is None else _read.decode(text)


def with_usage(text: str | None, calls: Iterable[ModelUsage]) -> str:
    """Return a run's stored usage *text*, updated with more calls."""
    kept = {usage.model: usage for usage in usage_in(text)}
    for call in calls:
        name = call.model
        if name not in kept and len(kept) >= MOST_MODELS:
            name = OTHER
        kept.setdefault(name, ModelUsage(name)).add(call)
    return msgspec.json.encode(list(kept.values())).decode()


def _members(result: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = result.get(name)
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _count(members: Mapping[str, object], name: str) -> int:
    value = members.get(name)
    return value if type(value) is int and 0 <= value < _MOST_COUNT else 0


def _cost(members: Mapping[str, object]) -> tuple[str, Decimal] | None:
    """Return the currency and amount of a reported cost, or None if the cost is not valid."""
    text, currency = members.get("amount"), members.get("currency")
    if not isinstance(text, str) or len(text) > _AMOUNT_CHARS:
        return None
    if not isinstance(currency, str) or len(currency) != _CURRENCY_CHARS:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    if not amount.is_finite() or not 0 <= amount < _MOST_AMOUNT:
        return None
    return currency.upper(), round(amount, 12)
