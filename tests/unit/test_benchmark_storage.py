"""The synthetic data of the storage benchmark: what is counted beforehand equals a recount."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg
import pytest

from benchmarks.storage import ask
from benchmarks.storage.load import load
from benchmarks.storage.population import HOLDS, PROCESSES
from benchmarks.storage.synthetic import TURNS, Size
from remit._base.ids import hash_of_on_behalf_of
from remit.collector import open_store
from tests.postgres import database
from tests.stores import new_database

RUNS: Final = 2000
HOUR_US: Final = 3_600_000_000
STATUSES: Final = ("unfinished", "cancelled", "complete", "failed", "unfinished")
FLAGS: Final = {
    "denied": 512, "redacted": 1024, "violation": 2048, "undeclared": 256, "invalid": 16 | 64,
    "unchecked": 32 | 128,
}  # fmt: skip
COUNTS: Final = (
    "unfinished", "complete", "failed", "cancelled", *FLAGS, "duration_us", "duration_max_us",
)  # fmt: skip
SPANS: Final = """
    SELECT s.run_ref, s.id, s.parent_id, s.type_ref, s.status, s.flags, s.started_at, s.finished_at,
      p.payload, p.result
    FROM spans s LEFT JOIN span_payloads p ON {}
"""
JOINS: Final = {
    "sqlite": "p.span_ref = s.ref",
    "postgres": "p.shard = s.shard AND p.run_ref = s.run_ref AND p.id = s.id",
}
Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Loaded:
    """A database with synthetic rows."""

    kind: str
    ask: Callable[[str], list[Row]]

    def rows(self, table: str, columns: str) -> list[Row]:
        """Return some columns of all rows of a table, sorted."""
        rows = self.ask(f"SELECT {columns} FROM {table}")
        return sorted(rows, key=lambda row: [(value is not None, value) for value in row])

    def spans(self) -> Iterator[Row]:
        """Return all spans with their payloads."""
        return iter(self.ask(SPANS.format(JOINS[self.kind])))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.gate)])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loaded]:
    """Return each kind of database, filled."""
    if request.param == "postgres":
        with database() as url:
            load(url, Size(RUNS))
            with psycopg.connect(url, autocommit=True) as connection:
                yield Loaded("postgres", lambda text: connection.execute(text.encode()).fetchall())
        return
    path = tmp_path_factory.mktemp("synthetic") / "remit.db"
    load(str(path), Size(RUNS))
    with closing(sqlite3.connect(path)) as connection:
        yield Loaded("sqlite", lambda text: connection.execute(text).fetchall())


def test_counts_by_hour_and_day_equal_those_of_the_spans(loaded: Loaded) -> None:
    """All columns of `span_hours` and `span_days` follow from the spans."""
    cells = "ref, agent_ref, environment_ref, purpose"
    runs = {ref: cell for ref, *cell in loaded.rows("runs", cells)}
    expected: dict[str, dict[Row, Counter[str]]] = {
        "span_hours": defaultdict(Counter), "span_days": defaultdict(Counter)
    }  # fmt: skip
    for run_ref, _, _, type_ref, status, flags, started, finished, *_ in loaded.spans():
        for table, length in (("span_hours", HOUR_US), ("span_days", 24 * HOUR_US)):
            counts = expected[table][started // length, *runs[run_ref], type_ref]
            counts[STATUSES[status]] += 1
            counts.update(name for name, flag in FLAGS.items() if flags & flag)
            if finished:
                counts["duration_us"] += finished - started
                counts["duration_max_us"] = max(counts["duration_max_us"], finished - started)

    for table, by_cell in expected.items():
        key = "bucket, agent_ref, environment_ref, purpose, type_ref"
        assert loaded.rows(table, f"{key}, {', '.join(COUNTS)}") == sorted(
            (*cell, *(counts[name] for name in COUNTS)) for cell, counts in by_cell.items()
        )


def test_counts_of_runs_by_hour_equal_those_of_the_runs(loaded: Loaded) -> None:
    """`run_hours` follows from the ids and statuses of the runs."""
    statuses = ("pending", "active", "complete", "failed", "terminated", "cancelled")
    hours: dict[Row, Counter[str]] = defaultdict(Counter)
    for run_id, *cell, status in loaded.rows(
        "runs", "id, agent_ref, environment_ref, purpose, status"
    ):
        hours[(int.from_bytes(run_id) >> 110) // 3_600_000, *cell][status] += 1

    assert loaded.rows(
        "run_hours", f"bucket, agent_ref, environment_ref, purpose, {', '.join(statuses)}"
    ) == sorted((*cell, *(counts[name] for name in statuses)) for cell, counts in hours.items())


def test_runs_add_up_their_spans(loaded: Loaded) -> None:
    """Counts, flags and tokens of a run are those of its spans."""
    expected: dict[int, Counter[str]] = defaultdict(Counter)
    statuses: dict[bytes, int] = {}
    failed: list[tuple[int, bytes]] = []
    for run_ref, span_id, parent_id, _, status, flags, _, _, _, result in loaded.spans():
        sums = expected[run_ref]
        sums[("active", "cancelled", "complete", "failed")[status]] += 1
        sums["flags"] |= flags
        sums["denied"] += bool(flags & FLAGS["denied"])
        usage = json.loads(result or "{}").get("token_usage", {})
        sums["in"] += usage.get("prompt_tokens", 0)
        sums["out"] += usage.get("completion_tokens", 0)
        statuses[bytes(span_id)] = status
        if status == 3 and parent_id:
            failed.append((run_ref, bytes(parent_id)))
    for run_ref, parent_id in failed:
        expected[run_ref]["handled"] += statuses[parent_id] == 2

    names = ("active", "cancelled", "complete", "failed", "flags", "denied", "handled", "in", "out")
    assert loaded.rows(
        "runs",
        "ref, spans_active, spans_cancelled, spans_complete, spans_failed, flags, denied, handled, "
        "COALESCE(tokens_in, 0), COALESCE(tokens_out, 0)",
    ) == sorted((ref, *(sums[name] for name in names)) for ref, sums in expected.items())


def test_labels_subjects_and_redacted_values_are_those_of_the_payloads(loaded: Loaded) -> None:
    """The tables repeat what the payloads contain."""
    labels: list[Row] = []
    subjects: list[Row] = []
    redacted: Counter[str] = Counter()
    for run_ref, _, parent_id, *_, payload, _ in loaded.spans():
        content = json.loads(payload)
        if parent_id is None:
            pairs = content["labels"]
            pairs = pairs.items() if isinstance(pairs, dict) else [(word, "") for word in pairs]
            labels += [(*pair, run_ref) for pair in pairs]
            if content["subject"]:
                digest = hashlib.sha256(content["subject"].encode()).hexdigest()
                subjects.append((digest, run_ref))
            if "on_behalf_of" in content:
                subjects.append((hash_of_on_behalf_of(content["on_behalf_of"]), run_ref))
        elif "token" in content:
            redacted[content["token"]["rule"]] += 1

    assert loaded.rows("run_labels", "key, value, run_ref") == sorted(labels)
    assert loaded.rows("run_subjects", "subject_hash, run_ref") == sorted(subjects)
    grouped = loaded.ask("SELECT rule, SUM(times) FROM redacted_days GROUP BY rule")
    assert {rule: int(times) for rule, times in grouped} == redacted


def test_each_question_to_a_person_has_its_run_and_what_came_of_it(loaded: Loaded) -> None:
    """A run asks at most once; the last runs wait, and each yes was used."""
    asked = loaded.rows("runs", "external_identifier, asked, answered, status")
    assert {row[0] for row in asked if row[1]} == {row[0] for row in loaded.rows("asks", "run, id")}
    waiting = [row[0] for row in asked if row[1] > row[2]]
    states = Counter(status for (status,) in loaded.rows("asks", "status"))
    assert len(waiting) == states["waiting"] == sum(row[3] == "active" for row in asked) > 0
    assert set(states) == {"waiting", "approved", "refused", "expired"}
    assert len(loaded.rows("used_seals", "seal, nonce")) == states["approved"]
    assert len(loaded.rows("late_answers", "id, ask_id")) == 2
    assert len(loaded.rows("holds", "id, lifted_at IS NULL")) == HOLDS
    assert len(loaded.rows("hold_processes", "id, host")) == PROCESSES


def test_conversations_have_several_runs(loaded: Loaded) -> None:
    """One run in five has one."""
    runs = loaded.rows("runs", "conversation, question IS NULL, ref")
    talks = Counter(conversation for conversation, *_ in runs if conversation)
    assert set(talks.values()) == {TURNS}
    assert talks.total() == RUNS // 5
    assert sum(not none for _, none, _ in runs) == RUNS // 5


def test_each_finding_has_its_span(loaded: Loaded) -> None:
    """The findings are the flags of the spans, at the time of their start."""
    kinds = (512, 1024, 2048, 16)
    expected = {
        (kind, started, run_ref, bytes(span_id))
        for run_ref, span_id, _, _, _, flags, started, *_ in loaded.spans()
        for kind in kinds
        if flags & (16 | 64 if kind == 16 else kind)
    }

    findings = loaded.rows("span_findings", "kind, started_at, run_ref, span_id")
    assert {(*key, bytes(span_id)) for *key, span_id in findings} == expected


def test_the_shape_is_the_described_one(loaded: Loaded) -> None:
    """Shares, sizes and labels are those that the module names."""
    ((spans, ended_badly, flagged, sizes),) = loaded.ask("""
        SELECT COUNT(*), SUM(CASE WHEN status IN (1, 3) THEN 1 ELSE 0 END),
          SUM(CASE WHEN flags >= 8 THEN 1 ELSE 0 END),
          (SELECT SUM(LENGTH(payload) + COALESCE(LENGTH(result), 0)) FROM span_payloads)
        FROM spans
    """)
    ((labelled,),) = loaded.ask("SELECT COUNT(*) FROM run_labels WHERE key = 'customer'")

    assert spans / RUNS == pytest.approx(9, rel=0.1)
    assert int(ended_badly) / spans == pytest.approx(0.03, abs=0.007)
    assert int(flagged) / spans == pytest.approx(0.065, abs=0.01)
    assert int(sizes) / spans == pytest.approx(383, rel=0.05)
    assert labelled == RUNS // 50


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.gate)])
def test_each_question_is_explained_if_it_is_slow(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those with payloads; then all that was asked is printed."""
    monkeypatch.setattr(ask, "BUDGET_MS", 0.0)
    monkeypatch.setattr(ask, "CALLS", 1)
    with new_database(kind, tmp_path) as named:
        load(str(named), Size(RUNS))
        asked = list(ask.ask_all(str(named), ""))
        assert "bytes a span" in ask.sizes(str(named))
        if kind == "postgres":
            with closing(open_store(named)) as store, store.reading() as tx:
                assert [*tx.rows(ask.CHARS_OF_SHARDS)]

    assert len(asked) > 40
    assert all(each.plan for each in asked)
