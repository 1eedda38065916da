"""`remit token`: names, permissions and ends of tokens, as people and programs see them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import create_token, open_store
from remit.testing import FakeClock
from tests.collecting import World
from tests.subtests import each


def run(*words: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, ["token", *words])


def listed(db: Path) -> list[dict[str, Any]]:
    """Return what programs read of the tokens."""
    tokens: list[dict[str, Any]] = json.loads(run("list", "--json", "--db", str(db)).stdout)
    return tokens


def test_a_token_has_a_name_a_permission_and_an_end(tmp_path: Path) -> None:
    """The command says them once more, and lists them."""
    db = tmp_path / "remit.db"
    words = ("--name", "nightly", "--may", "read", "--expires", "90d")
    made = run("create", *words, "--db", str(db))

    assert made.exit_code == 0, made.output
    assert "may read, expires 20" in made.stdout
    (token,) = listed(db)
    assert (token["name"], token["may"], token["status"]) == ("nightly", "read", "active")
    assert token["last_used_at"] is None
    left = datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23) < left <= timedelta(days=90)


def test_a_token_may_do_several_things(tmp_path: Path) -> None:
    """Only one that may record is for programs."""
    db = tmp_path / "remit.db"
    both = run("create", "--may", "record", "--may", "metrics", "--db", str(db)).stdout
    assert "may metrics and record, expires never" in both
    assert "Programs use it as REMIT_API_TOKEN" in both
    assert "REMIT_API_TOKEN" not in run("create", "--may", "metrics", "--db", str(db)).stdout

    assert [token["may"] for token in listed(db)] == ["metrics,record", "metrics"]
    assert "metrics, record  active" in run("list", "--db", str(db)).stdout


def test_a_token_may_write_and_never_expires_unless_that_is_asked_for(tmp_path: Path) -> None:
    """As tokens of earlier versions."""
    db = tmp_path / "remit.db"
    assert "may write, expires never" in run("create", "--db", str(db)).stdout
    head, line = run("list", "--db", str(db)).stdout.splitlines()
    assert head.split() == [
        "ID",
        "NAME",
        "MAY",
        "STATUS",
        "EXPIRES",
        "LAST",
        "USED",
        "SCOPE",
        "AGENT",
    ]
    assert line.split()[1:] == ["write", "active", "never", "never", "account"]


@each(
    ("expires", "end"),
    [
        ("2127-01-01T12:00:00+01:00", datetime(2127, 1, 1, 11, tzinfo=UTC)),
        ("2127-01-01", datetime(2127, 1, 1).astimezone()),
    ],
)
def test_a_token_ends_at_a_time(tmp_path: Path, expires: str, end: datetime) -> None:
    """A date begins where the machine is."""
    db = tmp_path / f"{end:%H}.db"
    assert run("create", "--expires", expires, "--db", str(db)).exit_code == 0
    assert datetime.fromisoformat(listed(db)[-1]["expires_at"]) == end


@each(
    ("words", "said"),
    [
        (("--expires", "2020-01-01"), "is not in the future"),
        (("--expires", "0d"), "is not in the future"),
        (("--expires", "soon"), "write it as 90d or 12h"),
        (("--expires", "999999999w"), "write it as 90d or 12h"),
        (("--may", "all"), "'erase'"),
        (
            ("--may", "metrics", "--scope", "agent_deployment", "--agent", "desk"),
            "metrics needs the scope account",
        ),
        (("--name", ""), "the name of a token must have 1 to"),
    ],
)
def test_what_no_token_can_have_is_rejected(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """No token is created."""
    db = tmp_path / "remit.db"
    run("create", "--db", str(db))
    before = listed(db)

    rejected = run("create", *words, "--db", str(db))

    assert rejected.exit_code in {1, 2}
    assert said in rejected.stderr
    assert listed(db) == before


def test_an_expired_token_is_listed_as_expired(tmp_path: Path) -> None:
    """With its last use; `remit serve` does not count it as one that lets somebody in."""
    db = tmp_path / "remit.db"
    store, clock = open_store(db), FakeClock()
    end = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC) + timedelta(hours=1)
    made = create_token(store, "account", name="old", expires_at=end, clock=clock)
    assert World(store, clock=clock).http(made.secret).get("/api/v1/ping").status_code == 200
    store.close()

    (token,) = listed(db)
    _, line = run("list", "--db", str(db)).stdout.splitlines()

    assert (token["status"], token["last_used_at"]) == ("expired", token["inserted_at"])
    used = token["last_used_at"][:19] + "Z"
    assert line.split()[1:] == [
        "old",
        "write",
        "expired",
        f"{end:%Y-%m-%dT%H:%M:%SZ}",
        used,
        "account",
    ]


def test_a_long_name_is_cut_and_a_hostile_one_is_escaped(tmp_path: Path) -> None:
    """In the list for people; programs read it whole."""
    db = tmp_path / "remit.db"
    for name in ("n" * 50, "a\x1b[31mb"):
        assert run("create", "--name", name, "--db", str(db)).exit_code == 0

    lines = run("list", "--db", str(db)).stdout.splitlines()

    assert f"  {'n' * 19}…  " in lines[1]
    assert "\x1b" not in lines[2]
    assert [token["name"] for token in listed(db)] == ["n" * 50, "a\x1b[31mb"]
