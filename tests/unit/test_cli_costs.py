"""`remit costs`, `remit prices init`, and costs in `remit runs`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import remit
from remit.cli import main
from remit.collector import open_store
from tests.collecting import World
from tests.contract.test_costs import called

FILE = """
currency = "USD"
[[models]]
model = "gpt-5"
input = 2
output = 10
"""


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return a database with a run that called two models."""
    path = tmp_path / "remit.db"
    store = open_store(path, create=True)
    api = World(store).account()
    run = api.instance("active")["id"]
    called(api, run, "gpt-5", (1_000_000, 100_000))
    called(api, run, 'it\'s "new"', (1_000, 100))
    store.close()
    return path


def invoked(*words: str, **env: str) -> Result:
    """Run a command, a hundred columns wide."""
    result = CliRunner().invoke(main, list(words), env={"COLUMNS": "100", **env})
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def test_costs_follow_from_the_configured_prices(db: Path, tmp_path: Path) -> None:
    """By group, in the list of runs and for one run, with the source of each."""
    path = tmp_path / "prices.toml"
    path.write_text(FILE)
    env = {"REMIT_PRICES": str(path)}
    shown = invoked("costs", "--db", str(db), **env).stdout
    assert "gpt-5" in shown
    assert "3.00 USD" in shown
    assert "Not included: 1 call without a price" in shown
    assert "3.00 USD" in invoked("runs", "list", "--db", str(db), **env).stdout
    one = invoked("runs", "show", "--db", str(db), **env).stdout
    assert "3.00 USD by your prices, 1 call without a price" in one
    assert "USD" not in invoked("costs", "--db", str(db)).stdout


def test_the_file_has_the_models_that_were_seen(db: Path, tmp_path: Path) -> None:
    """It is valid once the prices are entered, says so before, and is never overwritten."""
    path = tmp_path / "prices.toml"
    assert invoked("prices", "init", str(path), "--db", str(db)).exit_code == 0
    text = path.read_text()
    assert 'model = "gpt-5"' in text
    env = {"REMIT_PRICES": str(path)}
    refused = invoked("costs", "--db", str(db), **env)
    assert "models.0.input: Field required" in refused.stderr
    path.write_text(text.replace("# input =", "input = 2").replace("# output =", "output = 10"))
    assert "3.00 USD" in invoked("costs", "--db", str(db), **env).stdout
    again = invoked("prices", "init", str(path), "--db", str(db))
    assert again.exit_code == 1
    assert "exists: name another file" in again.stderr


def test_a_server_refuses_a_wrong_file(db: Path, tmp_path: Path) -> None:
    """Before it listens, with the place in the file."""
    path = tmp_path / "prices.toml"
    path.write_text("currency = 1")
    refused = invoked("serve", "--db", str(db), "--prices", str(path))
    assert refused.exit_code == 1
    assert "currency" in refused.stderr


def test_the_setting_is_a_path() -> None:
    """A relative one begins at the working directory."""
    settings = remit.config.Settings(prices=Path("prices.toml"))
    assert settings.prices == Path("prices.toml").absolute()
