"""Commands on the local database while the environment names a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import TokenScope, create_token, open_store

COMMANDS = {
    "create": ("token", "create", "--quiet"),
    "tokens": ("token", "list", "--json"),
    "revoke": ("token", "revoke", "none"),
    "retain": ("db", "retain", "--days", "1", "--yes"),
    "erase": ("db", "erase", "--run", "last", "--reason", "x", "--yes"),
    "upgrade": ("db", "upgrade"),
    "backup": ("db", "backup", "{folder}/copy.db"),
}
each_command = pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return the database of local mode."""
    path = tmp_path / "data" / "remit.db"
    path.parent.mkdir(mode=0o700)
    store = open_store(path)
    create_token(store, TokenScope.ACCOUNT)
    store.close()
    return path


def remit(words: tuple[str, ...], db: Path, **variables: str) -> Result:
    """Run a command whose data folder holds *db*."""
    named = [word.format(folder=db.parent.parent) for word in words]
    unset = ("REMIT_API_URL", "PREFACTOR_API_URL", "REMIT_API_TOKEN", "REMIT_MODE")
    none = dict.fromkeys(unset)
    return CliRunner().invoke(
        main, named, env={**none, "REMIT_DATA_DIR": str(db.parent), **variables}
    )


@each_command
@pytest.mark.parametrize("variable", ["REMIT_API_URL", "PREFACTOR_API_URL"])
def test_a_command_names_the_database_that_is_not_the_servers(
    words: tuple[str, ...], variable: str, db: Path
) -> None:
    """On standard error, beside a token or JSON on standard output."""
    done = remit(words, db, **{variable: "https://remit.example.com"})
    first, *_ = done.stderr.splitlines()
    assert first == (f"This uses {db}, not the server of {variable}; use --db for another one.")
    assert "This uses" not in done.stdout


@each_command
def test_nothing_is_said_where_no_server_is_meant(words: tuple[str, ...], db: Path) -> None:
    """Without a server, in local mode, and of a database that was named."""
    url = {"REMIT_API_URL": "https://remit.example.com"}
    for done in (
        remit(words, db),
        remit(words, db, REMIT_MODE="local", **url),
        remit((*words, "--db", str(db)), db, **url),
    ):
        assert "This uses" not in done.output
