"""Rows of spans, with their types, payloads and findings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar, Final

from remit.collector.store import statements
from remit.collector.store.execution import Execution, values_of
from remit.collector.store.filters import Listed, Page, SpanFilter
from remit.collector.store.ids import shard_of, to_bytes, to_text
from remit.collector.store.rows import (
    HOLE,
    STATUSES,
    FindingRow,
    RunRow,
    SpanRow,
    TypeRow,
)
from remit.collector.store.statements import Value

WITH_TYPE: Final = "JOIN span_types AS t ON t.ref = s.type_ref"
"""The join of a span `s` with its type `t`."""
_SPAN_NAMES: Final = {name: f"s.{name}" for name in SpanRow.__struct_fields__} | {
    "schema_name": "t.name"
}
_FAILED: Final = STATUSES.index("failed")
_COMPLETE: Final = STATUSES.index("complete")
_CHARS: Final = "COALESCE(LENGTH(b.payload), 0) + COALESCE(LENGTH(b.result), 0)"


class SpanRows(Execution):
    """The spans."""

    span_key: ClassVar[tuple[str, ...]]
    """The columns that identify a span."""
    with_payloads: ClassVar[str]
    """The join of a span `s` with its payloads `b`, which may be gone."""

    def spans(
        self,
        account_id: str | None,
        span_ids: Collection[str],
        shards: Collection[int] | None = None,
    ) -> dict[str, SpanRow]:
        """Return the existing spans among *span_ids*, keyed by id.

        Args:
            shards: The only shards in which they may be, which a distributed database uses.
        """
        del shards
        where, values = self.among_ids("s.id", [to_bytes(each) for each in span_ids])
        if account_id is not None:
            # The plus keeps SQLite from reading all runs of the account first.
            where = f"{where} AND +{statements.RUN_FILTERS['account_id']}"
            values = (*values, account_id)
        sql = f"SELECT {self._columns} {self._joined} WHERE {where}"
        return {row.id: row for row in self._spans(sql, values)}

    @property
    def _columns(self) -> str:
        ref = ", s.ref" if "ref" in self.span_key else ""
        return statements.SPAN_COLUMNS + ref

    @property
    def _joined(self) -> str:
        return f"FROM spans AS s {self.with_run} {WITH_TYPE} {self.with_payloads}"

    @property
    def _spans_of_run(self) -> str:
        """The join of a run `r` with its spans `s`."""
        return self.with_run.replace("runs AS r", "spans AS s")

    @property
    def _same_run(self) -> str:
        return self.with_run.partition(" ON ")[2]

    def _spans(self, sql: str, values: Sequence[Value] = ()) -> list[SpanRow]:
        rows: list[SpanRow] = []
        runs: dict[bytes, str] = {}
        status: int
        created: int
        for run_id, span_id, parent_id, name, status, created, *rest in self.rows(sql, values):
            if run_id not in runs:
                runs[run_id] = to_text(run_id)
            flags, began, ended, inserted, updated, payload, result, *more = rest
            rows.append(
                SpanRow(
                    runs[run_id],
                    to_text(span_id),
                    None if parent_id is None else to_text(parent_id),
                    name,
                    STATUSES[status],
                    STATUSES[created],
                    flags,
                    began,
                    ended,
                    inserted,
                    updated,
                    statements.EMPTY if payload is None else payload,
                    result,
                    *more,
                )
            )
        return rows

    def list_spans(
        self, wanted: SpanFilter, page: Page, *, most_chars: int | None = None
    ) -> Listed[SpanRow]:
        """Return spans that pass the filter.

        Args:
            most_chars: The page ends before the span whose payloads would make it longer than
                this, but holds at least one span.
        """
        where, values = self._where(wanted)
        # A run is looked up first, and then its spans.
        source = f"FROM spans AS s {self.with_run if wanted.names_runs else ''}"
        total = self._count(f"{source} WHERE {where}", values)
        if page.field == "schema_name":
            source = f"{source} {WITH_TYPE}"
        key = ", ".join(f"s.{name}" for name in self.span_key)
        inner = f"SELECT {key} {source} WHERE {where} {page.clause(SpanRow, _SPAN_NAMES)}"
        same = " AND ".join(f"s.{name} = k.{name}" for name in self.span_key)
        joined = self._joined.replace(
            "FROM spans AS s", f"FROM ({inner}) AS k JOIN spans AS s ON {same}"
        )
        order = page.order(SpanRow, _SPAN_NAMES)
        if self.distributed:
            # After a limit Citus would join on the coordinator, which has no payloads.
            joined, order = f"{self._joined} WHERE {where}", page.clause(SpanRow, _SPAN_NAMES)
        values = (*values, *page.limits)
        if most_chars is None:
            sql = f"SELECT {self._columns} {joined} {order}"
            return Listed(self._spans(sql, values), total)
        # A page may be too large for memory, so the lengths are read before the spans.
        sql = f"SELECT s.id, {_CHARS} {joined} {order}"
        sizes = ((to_text(span_id), chars) for span_id, chars in self.rows(sql, values))
        ids = _fitting(sizes, most_chars)
        run_id = wanted.agent_instance_id
        shards = None if run_id is None else [shard_of(to_bytes(run_id))]
        spans = self.spans(wanted.account_id, ids, shards)
        return Listed([spans[span_id] for span_id in ids if span_id in spans], total)

    def _where(self, wanted: SpanFilter) -> tuple[str, tuple[Value, ...]]:
        where, values = wanted.where()
        if wanted.agent_instance_id is None:
            return where, values
        shard, of_run = self.in_shard("r.", to_bytes(wanted.agent_instance_id))
        return f"{shard}{where}", (*of_run, *values)

    def some_spans(self, wanted: SpanFilter, most: int) -> list[SpanRow]:
        """Return up to *most* spans that pass the filter, in the order of their ids."""
        where, values = self._where(wanted)
        sql = f"SELECT {self._columns} {self._joined} WHERE {where} ORDER BY s.id LIMIT ?"
        return self._spans(sql, (*values, most))

    def count_handled(self, run_id: str) -> int:
        """Return the number of failed spans of a run whose parent is complete."""
        parent = self._spans_of_run.replace("spans AS s", "spans AS a").replace("s.", "a.")
        run_key = to_bytes(run_id)
        shard, of_run = self.in_shard("r.", run_key)
        sql = (
            f"SELECT COUNT(*) FROM runs AS r {self._spans_of_run} {parent} AND a.id = s.parent_id "
            f"WHERE {shard}r.id = ? AND s.status = {_FAILED} AND a.status = {_COMPLETE}"
        )
        return self._one_number(sql, (*of_run, run_key))

    def type_ref(self, row: TypeRow, words: Iterable[tuple[str, str]]) -> int:
        """Return the reference of a span type, which is added if it is new.

        Args:
            words: The words of its data risk, each with its side: action, params or result.
        """
        key = (row.agent_ref, row.name, row.hash)
        ref = self._known.types.get(key) or self.references.types.get(key)
        if ref is None:
            ref = self._find_type(key)
            if ref is None:
                self.run(statements.ADD_TYPE, values_of(row))
                ref = self._find_type(key)
                assert ref is not None  # noqa: S101 - it was added, here or elsewhere
                self.run_many(statements.ADD_TYPE_WORD, [(word, side, ref) for word, side in words])
            self.references.types[key] = ref
        return ref

    def _find_type(self, key: tuple[int, str, str]) -> int | None:
        return next((int(ref) for (ref,) in self.rows(statements.FIND_TYPE, key)), None)

    @abstractmethod
    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        """Insert new spans, whose references to run and type are known."""

    @abstractmethod
    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        """Update the columns that a finish changes."""

    @abstractmethod
    def add_findings(self, rows: Sequence[FindingRow]) -> None:
        """Insert findings; those recorded already stay."""

    def recorded(self, run: RunRow) -> int | None:
        """Return how many spans a run with a hole recorded, its root included.

        None if it has no hole, or the finding was deleted because of its age.
        """
        if not run.flags & HOLE:
            return None
        condition, values = self._hole_of(run)
        sql = f"SELECT number FROM span_findings WHERE {condition}"
        return next((int(number) for (number,) in self.rows(sql, values)), None)

    def close_hole(self, run: RunRow) -> None:
        """Delete the finding that a run has a hole."""
        condition, values = self._hole_of(run)
        self.run(f"DELETE FROM span_findings WHERE {condition}", values)

    def _hole_of(self, run: RunRow) -> tuple[str, tuple[Value, ...]]:
        shard, values = self.in_shard("", to_bytes(run.id))
        return f"{shard}run_ref = ? AND kind = ?", (*values, run.ref, HOLE)


def _fitting(spans: Iterable[tuple[str, int]], most_chars: int) -> list[str]:
    """Return the ids of the first *spans* that are *most_chars* long together, at least one."""
    ids: list[str] = []
    for span_id, chars in spans:
        most_chars -= chars
        if ids and most_chars < 0:
            break
        ids.append(span_id)
    return ids
