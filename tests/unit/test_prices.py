"""Prices of models: the file, the price that counts, and the costs that follow."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from remit.errors import SettingsError
from tests.inside_collector import Cost, ModelUsage, Prices, costs_of, read_prices
from tests.subtests import each

DAY_US = int(datetime(2026, 11, 15, tzinfo=UTC).timestamp()) * 1_000_000
FILE = """
currency = "USD"
[[models]]
model = "gpt-5*"
from = 2026-11-01
input = 2
cached_input = 0.5
cache_write = 2.5
output = 10
[[models]]
model = "gpt-5*"
input = 4
output = 20
"""


def written(folder: Path, text: str = FILE) -> Path:
    """Return the path of a file of prices."""
    path = folder / "prices.toml"
    path.write_text(text)
    return path


def used(
    model: str, tokens_in: int, tokens_out: int = 0, cached: int = 0, cache_write: int = 0
) -> ModelUsage:
    """Return the use of a model in one call."""
    return ModelUsage(model, 1, tokens_in, cached, cache_write, tokens_out)


def test_a_cost_follows_from_each_kind_of_token(tmp_path: Path) -> None:
    """Cached and written tokens are part of the prompt, and have prices of their own."""
    usage = used(
        "gpt-5.2", tokens_in=1_000_000, cached=400_000, cache_write=100_000, tokens_out=50_000
    )
    costs = costs_of([(usage, DAY_US)], read_prices(written(tmp_path)))
    # 500,000 at 2, 400,000 at 0.5, 100,000 at 2.5 and 50,000 at 10, each for a million.
    assert costs.amounts == [Cost(Decimal("1.95"), "USD", "prices", "2026-11-01")]
    assert costs.without_price == 0


def test_a_price_counts_from_its_day_on(tmp_path: Path) -> None:
    """The first entry that matches and is valid counts; what has no own price costs the input."""
    prices = read_prices(written(tmp_path))
    usage = used("gpt-5-mini", tokens_in=1_000_000, cached=500_000)
    first_us = int(datetime(2026, 10, 31, 23, 59, tzinfo=UTC).timestamp()) * 1_000_000
    assert costs_of([(usage, first_us)], prices).amounts == [Cost(Decimal(4), "USD", "prices")]
    assert costs_of([(usage, DAY_US)], prices).amounts[0].amount == Decimal("1.25")
    assert prices.price_of("gpt-4", date(2026, 11, 15)) is None


def test_a_reported_cost_counts_without_a_price(tmp_path: Path) -> None:
    """Prices of the file win; a model without one has what its library said."""
    reported = {"USD": Decimal("0.5")}
    calls = [
        (ModelUsage("gpt-5", 1, 1_000_000, costs=reported, with_cost=1), DAY_US),
        (ModelUsage("mistral", 2, 1_000, costs=reported, with_cost=1), DAY_US),
    ]
    costs = costs_of(calls, read_prices(written(tmp_path)))
    assert costs.amounts == [
        Cost(Decimal(2), "USD", "prices", "2026-11-01"),
        Cost(Decimal("0.5"), "USD", "reported"),
    ]
    assert costs.without_price == 1
    without = costs_of(calls, None)
    assert without.amounts == [Cost(Decimal(1), "USD", "reported")]


ENTRY = 'currency = "USD"\n[[models]]\nmodel = "a"\n'


@each(
    ("text", "words"),
    [
        ("currency = ", "is not valid TOML"),
        ("models = []", "currency: Field required"),
        ('currency = "dollars"\nmodels = []', "currency: String should match pattern"),
        (f"{ENTRY}output = 1", "models.0.input: Field required"),
        (f"{ENTRY}input = 1\noutput = -1", "models.0.output: Input should be greater than"),
        (f"{ENTRY}input = 1\noutput = 1\noutputs = 1", "models.0.outputs: Extra inputs"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    """The message names the file, the place and what was expected."""
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as raised:
        read_prices(path)
    assert str(path) in str(raised.value)
    assert words in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Another error than one of its content."""
    with pytest.raises(SettingsError, match=r"prices\.toml cannot be read"):
        read_prices(tmp_path / "prices.toml")


def test_no_price_is_a_default() -> None:
    """Nothing is shipped: without a file there is no price."""
    assert Prices(currency="USD", models=()).price_of("gpt-5", date(2026, 12, 1)) is None
