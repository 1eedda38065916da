"""`remit.collector.validation`: what was made to hang or to grow is answered at once."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import thread_time

import pytest

from remit.collector.validation.budget import Budget
from remit.collector.validation.schemas import Checker, SchemaResult
from remit.collector.validation.summaries import Template
from tests.bombs import BIG, BIG_CHARS, SCHEMAS, TEMPLATES, Json, nested
from tests.subtests import each
from tests.untraced import untraced

MAX_S = 1.5
"""Of this thread's own time; the slowest takes a tenth."""
MAX_MIB = 64
HARMLESS = {
    "deep paths",  # from Python 3.12 on its stack is deep enough; what it names does not exist
    "exponential pattern",
    "many errors",
    "many filters",
    "wide pattern",
}


@pytest.fixture(scope="module", autouse=True)
def engines() -> None:
    """Import the libraries, which takes its own time, before anything is measured."""
    Template("x").summary({}, 0, Budget())
    Checker({"type": "object"}).compare({}, "{}", Budget())


@pytest.fixture(autouse=True)
def _untraced() -> Iterator[None]:
    """Measure what is tested: no tracer, and no look at all that the tests before have left.

    That stays frozen: `gc.unfreeze` would also thaw what `conftest.py` froze, for all later tests.
    """
    gc.freeze()
    with untraced():
        yield


@each("name", TEMPLATES)
def test_a_template_can_neither_hang_nor_grow(name: str) -> None:
    """The template has no summary, or a short one."""
    template = Template(TEMPLATES[name])
    begin = thread_time()
    summary = template.summary(BIG, BIG_CHARS, Budget())
    assert thread_time() - begin < MAX_S
    assert summary is None or (name in HARMLESS and len(summary) < 100)


@each("name", SCHEMAS)
def test_a_schema_cannot_keep_the_collector_busy(name: str) -> None:
    """What takes too long is not compared, and its errors are not listed."""
    schema, payload = SCHEMAS[name]
    text, checker = json.dumps(payload), Checker(schema)
    begin = thread_time()
    result = checker.compare(payload, text, Budget())
    errors = checker.errors(payload, text, Budget()) if result is not SchemaResult.GOOD else []
    assert thread_time() - begin < MAX_S
    assert result is (SchemaResult.BAD if name in HARMLESS else SchemaResult.UNCHECKED)
    assert errors
    assert all(len(each) < 250 for each in errors)


def test_all_of_them_together_take_little_memory() -> None:
    """None takes much at once, and all memory is free afterwards."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bombs"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < MAX_MIB


def test_one_request_does_not_render_for_long() -> None:
    """A page of spans may have summaries each of which takes just not too long."""
    heavy = "{{ s" + " | upcase | downcase" * 190 + " | truncate: 8 }}"
    templates, budget = [Template(heavy) for _ in range(100)], Budget()
    begin = thread_time()
    written = [each.summary(BIG, BIG_CHARS, budget) for each in templates]
    assert thread_time() - begin < MAX_S
    assert written[0] == "aaaaa..."
    assert written[-1] is None


def test_a_page_of_usual_summaries_is_rendered_whole() -> None:
    """The time of a request is far more than a hundred summaries need."""
    template = Template("Order {{ order }}: {{ state | default: 'new' | upcase }}")
    budget = Budget()
    values = {"order": 17, "state": "shipped"}
    assert [template.summary(values, 40, budget) for _ in range(100)] == ["Order 17: SHIPPED"] * 100


@each(
    ("depth", "result"),
    [(1, SchemaResult.BAD), (10, SchemaResult.BAD), (40, SchemaResult.UNCHECKED)],
)
def test_a_schema_that_refers_to_itself_is_compared_as_deep_as_it_is_expanded(
    depth: int, result: SchemaResult
) -> None:
    """Two references to itself double the number of schemas at each level."""
    tree: Json = {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a"]}
    payload = nested(depth)
    assert Checker(tree).compare(payload, json.dumps(payload), Budget()) is result


def test_a_long_list_that_was_cut_is_compared() -> None:
    """The result does not depend on a list of the differences, which would take too long."""
    row: Json = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(9)}}
    schema: Json = {"properties": {"rows": {"type": "array", "items": row}}}
    rows: Json = [{f"p{n}": "some text" for n in range(9)} for _ in range(400)]
    payload: Json = {"rows": [*rows, {"$remit": "cut", "of": 9000, "unit": "items"}]}
    text = json.dumps(payload)
    assert Checker(schema).compare(payload, text, Budget()) is SchemaResult.GOOD


def test_one_request_does_not_compare_for_long() -> None:
    """Many payloads may each take just not too long."""
    schema: Json = {
        "additionalProperties": {
            "items": {"anyOf": [*[{"type": "string"}] * 40, {"type": "integer"}]}
        }
    }
    payload: Json = {"a": list(range(3000))}
    text, budget = json.dumps(payload), Budget()
    checker = Checker(schema)
    begin = thread_time()
    results = [checker.compare(payload, text, budget) for _ in range(2000)]
    assert thread_time() - begin < 2 * MAX_S
    assert results[0] is SchemaResult.GOOD
    assert results[-1] is SchemaResult.UNCHECKED
