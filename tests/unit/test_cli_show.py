"""`remit runs show` and `export`: runs of any length, whole or in part."""

from __future__ import annotations

import io
import json
import re
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.cli._local import client_of
from remit.cli._progress import progress
from remit.cli._reader import ApiReader
from remit.collector import create_token, open_store
from remit.testing import FakeClock
from tests.collecting import Api, World, on_a_port
from tests.subtests import each
from tests.terminals import load_termios, on_a_terminal

EVIL = "\x1b]0;owned\x07\u202e"
ERROR = {"error": {"type": "ValueError", "message": "no", "at": "desk.py:7 in ask"}}
STEPS = 60


@dataclass(frozen=True)
class Place:
    """A server and the database that it serves, with one run."""

    url: str
    token: str
    db: Path
    api: Api
    run_id: str

    def run(self, *words: str, there: bool = False, code: int = 0) -> Result:
        """Run a command on the server or on the database."""
        env = {"COLUMNS": "100"}
        if there:
            env |= {"REMIT_API_URL": self.url, "REMIT_API_TOKEN": self.token}
        else:
            words = (*words, "--db", str(self.db))
        result = CliRunner().invoke(main, ["runs", *words], env=env)
        assert result.exit_code == code, result.output
        return result

    def shown(self, *words: str, there: bool = False) -> list[str]:
        """Return the names of the steps that `show` shows, with what is left out below them."""
        lines = self.run("show", *words, there=there).stdout.splitlines()
        found = [re.search(r"(\w+) +(?:complete|failed) +[+]|(\d+ steps? below)", x) for x in lines]
        return [match[1] or match[2] for match in found if match]


def spans(api: Api, run_id: str) -> None:
    """Record a tree of three levels, in which one step fails."""
    many = [f"2026-11-25T10:00:{second:02d}.000000Z" for second in range(STEPS)]

    def add(name: str, number: int, parent: str | None = None, **more: Any) -> str:
        body: dict[str, Any] = {"status": "complete", "started_at": many[number], **more}
        made = api.span(run_id, schema_name=name, parent_span_id=parent, **body)
        return str(made["id"])

    top = add("top", 0)
    left, right = add("left", 1, top), add("right", 2, top)
    add("deep", 3, left)
    add("broken", 4, right, status="failed", result_payload=ERROR)
    add("evil", 5, right, payload={"text": EVIL})
    for number in range(6, STEPS):
        add("many", number, payload={"text": "word " * 400})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server with a run of sixty steps."""
    db = tmp_path_factory.mktemp("place") / "served.db"
    store = open_store(db)
    world = World(store)
    api = world.account()
    run_id = api.instance()["id"]
    spans(api, run_id)
    token = create_token(store, "account").secret
    with on_a_port(world.app) as url:
        yield Place(url, token, db, api, run_id)
    store.close()


both = each("there", [False, True], ids=["a database", "a server"])


@both
def test_a_run_is_exported_as_the_api_shows_it(there: bool, place: Place) -> None:
    """One object a line, the oldest span first, and nothing that steers a terminal."""
    exported = place.run("export", place.run_id[:20], there=there)
    name = place.url if there else place.db
    assert exported.stderr == f"Read from {name}.\n"
    assert all(char.isprintable() or char == "\n" for char in exported.stdout)
    run, *rows = map(json.loads, exported.stdout.splitlines())
    assert run == place.api.shown(place.run_id)
    query = {"agent_instance_id": place.run_id, "include_summaries": "true"}
    expected = place.api.get("/agent_spans", **query).json()["summaries"]
    for row, shown in zip(rows, expected, strict=True):
        own = {name: row[name] for name in ("flags", "step_name")}
        assert {**shown, **own}.items() >= row.items()
    assert len(rows) == STEPS


@both
def test_a_run_is_exported_as_a_page(
    there: bool,
    place: Place,
    tmp_path: Path,
) -> None:
    """Values are in it on request only."""
    file = tmp_path / "run.html"
    export = ("export", place.run_id, "--html", str(file))
    written = place.run(*export, there=there)
    assert written.stdout == f"Wrote {file}, {file.stat().st_size // 1024} KB.\n"
    assert "broken" in (html := file.read_text(encoding="utf-8"))
    assert "word word" not in html
    place.run(*export, "--values", there=there)
    assert "word word" in file.read_text(encoding="utf-8")
    refused = place.run("export", place.run_id, "--values", there=there, code=2)
    assert "--values needs --html" in refused.stderr


@both
def test_a_run_as_json_is_one_object(there: bool, place: Place) -> None:
    """With all spans in the order of their starts, however many parts it is written in."""
    text = place.run("show", "--json", there=there).stdout
    found = json.loads(text)
    whole = json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False)
    assert text == whole.replace("\u202e", "\\u202e") + "\n"
    starts = [span["started_at"] for span in found["spans"]]
    assert (starts, len(starts)) == (sorted(starts), STEPS)
    assert found["erasures"] == []


@both
@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ("--depth 1 --failed", ["top", "2 steps below"]),
        ("--failed", ["top", "right", "broken"]),
        ("--depth 2 --failed", ["top", "right", "1 step below"]),
        (
            "--depth 2",
            ["top", "left", "1 step below", "right", "2 steps below", *["many"] * (STEPS - 6)],
        ),
    ],
)
def test_a_part_of_the_tree_is_shown(
    options: str,
    steps: list[str],
    there: bool,
    place: Place,
) -> None:
    """What is left out below a step is counted."""
    assert place.shown(*options.split(), there=there) == steps
    whole = place.shown(there=there)
    assert whole[:6] == ["top", "left", "deep", "right", "broken", "evil"]
    assert len(whole) == STEPS


def test_a_run_without_failed_steps_says_so(tmp_path: Path) -> None:
    """Instead of its tree."""
    store = open_store(tmp_path / "remit.db")
    api = World(store).account()
    api.span(api.instance()["id"], status="complete")
    shown = CliRunner().invoke(main, ["runs", "show", "--failed", "--db", store.path]).stdout
    store.close()
    assert "\n\nNo step failed.\n" in shown
    assert "desk:answer" not in shown


def test_an_erasure_is_shown_of_a_server_too(tmp_path: Path) -> None:
    """When it was, by whom, and why."""
    store = open_store(tmp_path / "remit.db")
    world = World(store)
    api = world.account()
    run_id = api.instance()["id"]
    api.span(run_id, status="complete")
    token = create_token(store, "account").secret
    with on_a_port(world.app) as url:
        done = CliRunner().invoke(
            main, ["db", "erase", "--run", run_id, "--reason", "asked", "--yes", "--db", store.path]
        )
        assert done.exit_code == 0, done.output
        place = Place(url, token, tmp_path / "remit.db", api, run_id)
        shown = [place.run("show", there=there).stdout for there in (False, True)]
        found = json.loads(place.run("show", "--json", there=True).stdout)
        listed = json.loads(place.run("list", "--json", there=True).stdout)
    store.close()
    pattern = (
        r"^Erased 20\d\d-\d\d-\d\d .*: the payloads of 1 span, selected by run. Reason: asked$"
    )
    assert all(re.search(pattern, text, re.MULTILINE) for text in shown)
    (erasure,) = found["erasures"]
    assert (erasure["agent_instance_id"], erasure["reason"]) == (run_id, "asked")
    assert listed[0]["erased_at"] is not None


def test_a_pager_shows_what_a_terminal_has_no_room_for(place: Place) -> None:
    """It is named by PAGER; what fits is written as it is, and so is JSON."""
    named = ("--db", str(place.db))
    pager = {"PAGER": "sed s/^/paged:/"}
    whole = on_a_terminal("runs", "show", *named, **pager).splitlines()
    assert all(line.startswith("paged:") for line in whole)
    assert whole[-2] == f"paged:Read from {place.db}."
    assert len(whole) > STEPS
    part = on_a_terminal("runs", "show", "--depth", "1", "--failed", *named, **pager)
    assert "paged:" not in part
    assert part.endswith(f"Read from {place.db}.\n")


def test_the_values_of_a_long_run_are_not_all_in_memory(tmp_path: Path) -> None:
    """They are in a temporary file; the process has a few facts of each span."""
    count, chars = 5_000, 20_000
    path = tmp_path / "remit.db"
    store = open_store(path)
    api = World(store).account()
    run_id = api.instance()["id"]
    fields = {"agent_instance_id": run_id, "schema_name": "desk:answer", "status": "complete"}
    body = {**fields, "payload": {"text": "x" * chars}}
    for _ in range(count // 100):
        api.bulk(*({"_type": "agent_spans/create", "details": body} for _ in range(100)))
    store.close()
    with client_of(path, writing=False) as (client, place), ApiReader(client, place) as reader:
        run = reader.find(run_id)
        tracemalloc.start()
        try:
            record = reader.record(run)
            read = sum(len(span.whole().payload or {}) for span in record.spans)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert read == len(record.spans) == count
    assert peak < count * chars / 2


class Terminal(io.StringIO):
    """A text that says it is a terminal."""

    def isatty(self) -> bool:
        """Return true."""
        return True


def test_a_bar_shows_how_much_is_done_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, if it is a terminal."""
    load_termios()
    shown: dict[str, str] = {}
    for name, stream in (("file", io.StringIO()), ("terminal", Terminal())):
        monkeypatch.setattr(sys, "stderr", stream)
        clock = FakeClock()
        with progress("Reading spans", 200, clock) as bar:
            bar.add(50)
            assert stream.getvalue() == ""
            clock.advance(1.1)
            bar.add(50)
            bar.add(100)
        assert bar.done == 200
        shown[name] = stream.getvalue()
    assert shown["file"] == ""
    assert "Reading spans" in shown["terminal"]
    assert "50%" in shown["terminal"]
    assert "100%" in shown["terminal"]
