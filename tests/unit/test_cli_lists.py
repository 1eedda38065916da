"""`remit runs list`, `spans list` and `agents`: what is selected, of a server and of a database."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

import remit
from remit._base.ids import new_key, partition_of, pfid
from remit._runtime import setup
from remit.cli import main
from remit.collector import create_token, open_store
from remit.config import Settings
from remit.errors import DeniedError
from tests.collecting import Api, World, details, on_a_port
from tests.stores import EACH_STORE, empty_database
from tests.subtests import each
from tests.terminals import on_a_terminal

LAST_YEAR_NS = 1_735_732_800_000_000_000  # 2025-01-01T12:00:00Z


@remit.span_type(data_risk=remit.risk(allows="financial_transactions"))
def pay(cents: int) -> None:
    """Pay."""
    del cents


@remit.span_type(data_risk=remit.risk(takes="contact_information"))
def divide(number: int) -> float:
    """Divide one by a number."""
    return 1 / number


@remit.agent("Careful", data_risk=remit.risk(forbids="financial_transactions"))
def careful() -> None:
    """Try to pay, and go on without."""
    with suppress(DeniedError):
        pay(1)


@remit.agent("Divider")
def divider(number: int) -> None:
    """Divide."""
    divide(number)


@dataclass(frozen=True)
class Place:
    """A server and the database that it serves."""

    url: str
    token: str
    db: Path | str

    def run(self, *words: str, there: bool = False, **env: str) -> Result:
        """Run a command on the server or on the database, a hundred columns wide."""
        if there:
            env |= {"REMIT_API_URL": self.url, "REMIT_API_TOKEN": self.token}
        else:
            words = (*words, "--db", str(self.db))
        return CliRunner().invoke(main, list(words), env={"COLUMNS": "100", **env})

    def json(self, *words: str, there: bool = False) -> Any:
        """Return what a command prints as JSON."""
        result = self.run(*words, "--json", there=there)
        assert result.exit_code == 0, result.output
        name = self.url if there else self.db
        assert result.stderr == f"Read from {name}.\n"
        return json.loads(result.stdout)


def record(settings: Settings) -> None:
    """Record a run with a denied step, one that fails, and one that ends well."""
    with setup.isolated(settings) as runtime:
        about = remit.about(conversation="thread-9", on_behalf_of="user-42")
        with about, careful.run(labels={"channel": "chat", "tier": "gold"}, subject="customer 7"):
            careful()
        with suppress(ZeroDivisionError), divider.run(labels={"channel": "mail"}):
            divider(0)
        with divider.run(subject="customer 8", purpose="eval"):
            divider(4)
        assert runtime.flush(60)


def record_last_year(api: Api) -> None:
    """Record a run and a span of last year, by another client."""
    run = api.shown(api.instance("terminated")["id"])
    partition = partition_of(run["id"]) or 0
    ids = [pfid(new_key(LAST_YEAR_NS), partition) for _ in range(2)]
    api.instance("active", id=ids[0], external_identifier="order-17")
    api.span(ids[0], id=ids[1], status="complete", started_at="2025-01-01T12:00:00Z")


@pytest.fixture(scope="module", params=EACH_STORE)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A server with five runs, over each kind of store."""
    folder = tmp_path_factory.mktemp("place")
    with empty_database(request.param, folder) as named:
        store = open_store(named)
        token = create_token(store, "account").secret
        world = World(store)
        record_last_year(world.account())
        with on_a_port(world.app) as url:
            settings = Settings(api_url=url, api_token=SecretStr(token), on_violation="deny")
            record(settings.model_copy(update={"data_dir": folder / "recording"}))
            yield Place(url, token, named)
        store.close()


both = each("there", [False, True], ids=["a database", "a server"])


@both
@pytest.mark.parametrize(
    ("options", "agents"),
    [
        ("", ["Divider", "Divider", "Careful", "Desk", "Desk"]),
        ("--limit 2", ["Divider", "Divider"]),
        ("--agent Divider", ["Divider", "Divider"]),
        (f"--agent {__name__}:careful", ["Careful"]),
        ("--status failed", ["Divider"]),
        ("--status terminated", ["Desk"]),
        ("--status pending", []),
        ("--agent Careful --status failed", []),
        ("--failed", ["Divider", "Careful"]),
        ("--denied", ["Careful"]),
        ("--failed --denied", ["Careful"]),
        ("--label channel", ["Divider", "Careful"]),
        ("--label channel=chat", ["Careful"]),
        ("--label channel=fax", []),
        ("--subject 'customer 8'", ["Divider"]),
        ("--subject nobody", []),
        ("--conversation thread-9", ["Careful"]),
        ("--conversation thread", []),
        ("--on-behalf-of user-42", ["Careful"]),
        ("--on-behalf-of 'customer 8'", []),
        ("--on-behalf-of user-42 --subject 'customer 7' --conversation thread-9", ["Careful"]),
        ("--purpose eval", ["Divider"]),
        ("--purpose smoke_test", []),
        ("--since 1h", ["Divider", "Divider", "Careful", "Desk"]),
        ("--until 2025-06-01", ["Desk"]),
        ("--since 2025-01-01T11:00Z --until 2025-01-01T13:00:00+00:00", ["Desk"]),
        ("--since 2025-01-02 --until 52w", []),
    ],
)
def test_runs_are_selected(
    options: str,
    agents: list[str],
    there: bool,
    place: Place,
) -> None:
    """The newest come first."""
    words = [word.replace("'", "") for word in re.findall(r"'[^']*'|\S+", options)]
    listed = place.json("runs", "list", *words, there=there)
    assert [each["agent"]["name"] for each in listed] == agents
    table = place.run("runs", "list", *words, there=there).stdout
    if agents:
        rows = [line for line in table.splitlines()[1:-2] if "✗" not in line]
        assert [re.split(r" {2,}", row)[1] for row in rows] == agents
    else:
        assert table == f"No such runs in {place.url if there else place.db}.\n"


@both
def test_a_listed_run_says_what_happened_in_it(there: bool, place: Place) -> None:
    """Beside the run as the API has it."""
    denied, failed = place.json("runs", "list", "--failed", there=there)[::-1]
    assert denied["flags"].count("denied") == failed["flags"].count("failed") == 1
    assert (denied["denied"], failed["denied"]) == (1, 0)
    assert denied["failure"] is None
    assert failed["failure"]["type"] == "ZeroDivisionError"
    assert failed["tokens"] == {"in": None, "out": None}
    assert failed["erased_at"] is None


@both
@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ("--agent Divider --status complete --limit 2", ["divide", "divider"]),
        ("--failed", ["divide", "divider", "pay"]),
        ("--denied", ["pay"]),
        ("--agent Careful", ["pay", "careful"]),
        (f"--type {__name__}:divide", ["divide", "divide"]),
        ("--type remit:run --status failed", ["run"]),
        ("--run order-17", ["desk:answer"]),
        ("--status active", []),
        ("--until 2025-06-01", ["desk:answer"]),
        ("--since 1h --agent Divider --status complete", ["divide", "divider"]),
    ],
)
def test_spans_are_selected(
    options: str,
    steps: list[str],
    there: bool,
    place: Place,
) -> None:
    """Of all runs, the newest first; a table leaves out the spans of whole runs."""
    words = options.split()
    result = place.run("spans", "list", *words, there=there)
    assert result.exit_code == 0, result.output
    *rows, _, last = result.stdout.splitlines() if steps else ["", "", ""]
    found = [re.split(r" {2,}", row)[4].removeprefix("remit:") for row in rows[1:]]
    assert sorted(found) == sorted(steps)
    name = place.url if there else place.db
    assert last == f"Read from {name}." if steps else result.stdout == f"No such spans in {name}.\n"
    listed = place.json("spans", "list", *words, there=there)
    starts = [each["started_at"] for each in listed]
    # Spans of one run, and all spans, are in the order of their ids.
    by_start = {"--agent", "--type", "--failed", "--denied"} & {*words}
    assert starts == sorted(starts, reverse=True) or not by_start
    assert all(each["payload"] is None for each in listed)


@both
def test_agents_are_listed_and_shown(there: bool, place: Place) -> None:
    """With the number of their runs, and with what their steps are declared to do."""
    listed = place.json("agents", "list", there=there)
    assert [each["name"] for each in listed] == ["Desk", "Careful", "Divider"]
    table = place.run("agents", "list", there=there).stdout
    assert re.search(r"^Divider +\w{32}  active +2  20\d\d-", table, re.MULTILINE)
    for named in ("Careful", f"{__name__}:careful", listed[1]["id"]):
        shown = place.run("agents", "show", named, there=there).stdout
        assert shown.startswith("Careful  active\n")
        assert re.search(r"^  runs +1, 1 complete$", shown, re.MULTILINE)
        # And what other tests of this process declare.
        assert not re.search(r"^  may +.*\bfinancial_transactions\b", shown, re.MULTILINE)
        assert re.search(r"^  must not +.*\bfinancial_transactions\b", shown, re.MULTILINE)
        assert shown.endswith(f"Read from {place.url if there else place.db}.\n")
    assert place.json("agents", "show", "Careful", there=there)["instance_counts"]["total"] == 1


@both
def test_spans_are_counted(there: bool, place: Place) -> None:
    """By type, by category of data and by agent, the largest first."""
    counts = place.json("stats", there=there)
    by_type = {each["type"].rpartition(":")[2]: each for each in counts}
    assert by_type["divide"]["spans"] == 2
    assert (by_type["divide"]["failed"], by_type["pay"]["denied"]) == (1, 1)
    assert by_type["divide"]["duration_us"] >= by_type["divide"]["duration_max_us"] > 0
    assert [each["spans"] for each in counts] == sorted((c["spans"] for c in counts), reverse=True)
    assert "answer" not in by_type
    (old,) = place.json("stats", "--since", "2024-12-31", "--until", "2025-02-01", there=there)
    assert (old["type"], old["spans"]) == ("desk:answer", 1)

    by_agent = place.json("stats", "--by", "agent", there=there)
    assert [each["agent"]["name"] for each in by_agent] == ["Divider", "Careful"]
    (category,) = place.json("stats", "--by", "category", "--since", "1h", there=there)
    assert (category["category"], category["spans"]) == ("contact_information", 2)

    table = place.run("stats", "--agent", "Divider", there=there).stdout
    assert re.search(r":divide +2 +1 +0 +0  +[\d.]+ m?s  +[\d.]+ m?s$", table, re.MULTILINE), table
    assert ":pay" not in table
    assert table.endswith(f"Read from {place.url if there else place.db}.\n")
    assert "No such spans in " in place.run("stats", "--until", "2020-01-01", there=there).stdout


@each(
    ("words", "exit_code", "sentence"),
    [
        pytest.param(
            "runs list --since soon",
            2,
            "'soon' is not a valid time; write it as 7d or 24h",
            id="time",
        ),
        pytest.param("runs list --since 999999w", 2, "is not a valid time", id="too-long-ago"),
        pytest.param("runs list --status done", 2, "'done' is not one of", id="status"),
        pytest.param("runs list --agent Nobody", 1, "there is no agent 'Nobody' in ", id="agent"),
        pytest.param("spans list --run nothing", 1, "there is no run 'nothing' in ", id="run"),
        pytest.param("agents show Nobody", 1, "there is no agent 'Nobody' in ", id="show"),
    ],
)
def test_what_selects_nothing_is_a_sentence(
    words: str, exit_code: int, sentence: str, place: Place
) -> None:
    """A wrong option has status 2."""
    result = place.run(*words.split())
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert sentence in result.stderr


def test_an_empty_database_has_nothing_to_list(tmp_path: Path) -> None:
    """A token was created, and nothing recorded; or not even that."""
    path = tmp_path / "new.db"
    store = open_store(path)
    rejected = CliRunner().invoke(main, ["runs", "list", "--db", str(path)])
    assert (rejected.exit_code, rejected.stdout) == (1, "")
    assert rejected.stderr == f"remit: nothing was recorded in {path} yet\n"
    create_token(store, "account")
    store.close()
    for what in ("agents", "runs"):
        listed = CliRunner().invoke(main, [what, "list", "--db", str(path)])
        assert listed.stdout == f"No {what} yet in {path}.\n"
    for command in (["spans", "list"], ["stats"]):
        listed = CliRunner().invoke(main, [*command, "--db", str(path)])
        assert listed.stdout == f"No such spans in {path}.\n"


def test_texts_are_columns_where_there_is_room(place: Place) -> None:
    """Only if a run has them."""
    wide = place.run("runs", "list", "--conversation", "thread-9", COLUMNS="140").stdout
    assert re.search(r"STARTED +FOR +CONVERSATION +TOOK", wide), wide
    assert re.search(r"user-42 +thread-9", wide), wide
    narrow = place.run("runs", "list", "--conversation", "thread-9", COLUMNS="80").stdout
    assert "CONVERSATION" not in narrow
    other = place.run("runs", "list", "--subject", "customer 8", COLUMNS="140").stdout
    assert not {"FOR", "CONVERSATION"} & {*other.split()}


def test_times_are_relative_on_a_terminal_and_exact_elsewhere(place: Place) -> None:
    """People read how long ago it was, programs the time."""
    for what in ("runs", "spans"):
        rows = on_a_terminal(what, "list", "-n", "1", "--db", str(place.db))
        assert re.search(r"  \d+ (s|min) ago  | ?\d+ (s|min) ago +[0-9a-z]{8} ", rows), rows
        rows = place.run(what, "list", "-n", "1").stdout
        assert re.search(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", rows), rows
    old = on_a_terminal("spans", "list", "--until", "2025-06-01", "--db", str(place.db))
    assert "2025-01-01" in old


@both
def test_a_run_has_the_name_that_its_own_program_gave(there: bool, tmp_path: Path) -> None:
    """In a list and alone, where two programs share an identifier."""
    db = tmp_path / f"{there}.db"
    store = open_store(db)
    token = create_token(store, "account").secret
    world = World(store)
    api = world.account()
    agent = {"details": {"name": "Payments", "external_identifier": "main:answer"}}
    api = Api(api.http, details(api.post("/agent", agent))["id"])
    for name in ("Payments", "Weather"):
        version = {"external_identifier": name, "name": name}
        run = api.instance("active", external_identifier=f"of-{name}", agent_version=version)
        api.span(run["id"])
    with on_a_port(world.app) as url:
        place = Place(url, token, db)
        lines = place.run("runs", "list", there=there).stdout.splitlines()
        assert [line.split()[1] for line in lines[1:3]] == ["Weather", "Payments"]
        for name in ("Weather", "Payments"):
            shown = place.run("runs", "show", f"of-{name}", there=there).stdout
            assert shown.startswith(f"{name}  active\n")
            shown = place.json("runs", "show", f"of-{name}", there=there)
            assert shown["agent"]["name"] == name
    store.close()
