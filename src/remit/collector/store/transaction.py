"""A transaction of either database: its queries and writes, and the SQL that both share.

A subclass says how a statement is sent, how a list of ids is written, and what differs for speed or
because of concurrent transactions.

Rows that a writing transaction has read stay unchanged until it ends, so that decisions
made from it hold. There are two exceptions: spans and their idempotency keys stay only while their
run is locked (`hold`), and a row that did not exist when it was read may be inserted by another
transaction, which is a `ConflictError` here.

Counts, and the runs that a transaction changes, are collected and written once, before it commits
(`flush`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, Final

from remit.collector.store import statements
from remit.collector.store.ask_rows import AskRows
from remit.collector.store.counts import HOURS_PER_DAY, US_PER_HOUR
from remit.collector.store.filters import KeyName
from remit.collector.store.ids import to_bytes, to_text
from remit.collector.store.risk_counts import RiskCounts
from remit.collector.store.rows import (
    FINDINGS,
    RunRow,
)
from remit.collector.store.run_rows import RunRows
from remit.collector.store.small_rows import SmallRows
from remit.collector.store.statements import Value

_FINDING: Final = "kind, started_at, run_ref, span_id, number"
US_PER_DAY: Final = HOURS_PER_DAY * US_PER_HOUR


class Transaction(SmallRows, RunRows, RiskCounts, AskRows):
    """An open transaction of a store.

    Where `account_id` is None, rows of every account are meant, for the owner of the machine. Each
    write may raise `ConflictError`.
    """

    @abstractmethod
    def flush(self) -> None:
        """Write the counts and the changed runs, before the transaction commits."""

    def erase(self, run: RunRow, erased_at: int) -> int:
        """Erase the payloads of a run; return how many spans had some.

        The responses of its idempotency keys stay: see `replace_responses`.
        """
        spans = self._erase_payloads(run)
        run_id = to_bytes(run.id)
        shard, values = self.in_shard("", run_id)
        self.run(f"{statements.ERASE_RUN}{shard}id = ?", (erased_at, *values, run_id))
        of_run = f"{shard}run_ref = ?"
        for change in (
            f"UPDATE spans SET summary = NULL WHERE {of_run} AND summary IS NOT NULL",
            f"UPDATE span_findings SET sentence = NULL WHERE {of_run}",
            f"DELETE FROM run_subjects WHERE {of_run}",
            f"DELETE FROM run_labels WHERE {of_run}",
        ):
            self.run(change, (*values, run.ref))
        self.erase_asks(run, statements.ERASED)
        self.counts.change(run)
        return spans

    @abstractmethod
    def _erase_payloads(self, run: RunRow) -> int:
        """Erase the payloads of the spans of a run; return how many had some."""

    @abstractmethod
    def forget_spans(self, first_id: str, most: int) -> int:
        """Delete up to *most* spans whose id is less than *first_id*; return how many.

        Where the table of spans has partitions by time, only spans outside of them are deleted.
        """

    @abstractmethod
    def forget_payloads(self, first_id: str, most: int) -> tuple[int, bool]:
        """Delete the payloads of some spans whose id is less than *first_id*.

        Where the table has partitions by time, only payloads outside of them are deleted.

        Args:
            first_id: Ids from this on are too young.

        Returns:
            How many payloads were deleted, and whether a further call may delete more.
        """

    def forget_exchanges(self, first_id: str, most: int) -> bool:
        """Delete question and answer of the oldest runs whose id is less than *first_id*.

        Returns:
            Whether a further call may delete more.
        """
        bound = to_bytes(first_id)
        sql = "SELECT id FROM runs WHERE question IS NOT NULL AND id < ? ORDER BY id LIMIT ?"
        old = [to_text(row_id) for (row_id,) in self.rows(sql, (bound, most))]
        self.hold(old, [])
        for run_ids in self.together([to_bytes(each) for each in old]):
            among, values = self.among_runs("", run_ids)
            self.run(f"UPDATE runs SET question = NULL, answer = NULL WHERE {among}", values)
        return len(old) == most

    def count_spans(self, first_id: str) -> int:
        """Return the number of spans whose id is less than *first_id*."""
        return self._count("FROM spans AS s WHERE s.id < ?", (to_bytes(first_id),))

    def count_payloads(self, begin_id: str, end_id: str) -> int:
        """Return the number of spans with payloads whose ids are in a range."""
        joined = self.with_payloads.removeprefix("LEFT ")
        rest = f"FROM spans AS s {joined} WHERE s.id >= ? AND s.id < ?"
        return self._count(rest, (to_bytes(begin_id), to_bytes(end_id)))

    def count_old_runs(self, before_us: int, first_id: str) -> int:
        """Return the number of runs that `forget_runs` deletes after the old spans."""
        young = f"EXISTS (SELECT 1 FROM spans AS s WHERE {self._same_run} AND s.id >= ?)"
        rest = (
            "FROM runs AS r WHERE r.id < ? AND r.finished_at < ? AND r.updated_at < ? "
            f"AND NOT {young}"
        )
        bound = to_bytes(first_id)
        return self._count(rest, (bound, before_us, before_us, bound))

    def forget_findings(self, before_us: int, most: int) -> int:
        """Delete about *most* findings of each kind of days that ended before *before_us*."""
        day_us = before_us // US_PER_DAY * US_PER_DAY
        sql = (
            f"DELETE FROM span_findings WHERE ({_FINDING}) IN (SELECT {_FINDING} "
            "FROM span_findings WHERE kind = ? AND started_at < ? ORDER BY started_at LIMIT ?)"
        )
        return sum(self.run(sql, (kind, day_us, most)) for kind in FINDINGS)

    def forget_counts(self, before_us: int) -> None:
        """Delete the counts of days that ended before *before_us*."""
        day = before_us // US_PER_DAY
        for table, bucket in (
            ("span_hours", day * HOURS_PER_DAY),
            ("span_days", day),
            ("run_hours", day * HOURS_PER_DAY),
            ("redacted_days", day),
        ):
            self.run(f"DELETE FROM {table} WHERE bucket < ?", (bucket,))

    def forget_runs(
        self, before_us: int, ids: tuple[str, str], most: int
    ) -> tuple[int, int, str | None]:
        """Delete the old ones among the next runs that have no spans, with their keys.

        Args:
            before_us: A run is old if it ended, and was last changed, before this.
            ids: Runs with ids after the first and before the second are looked at.

        Returns:
            How many runs and keys were deleted, and the last id that was looked at; None if there
            are no further ones.
        """
        after, first = map(to_bytes, ids)
        sql = "SELECT r.id FROM runs AS r WHERE r.id > ? AND r.id < ? ORDER BY r.id LIMIT ?"
        seen = [row_id for (row_id,) in self.rows(sql, (after, first, most))]
        if not seen:
            return 0, 0, None
        # `finished_at` comes from the client, `updated_at` from the collector.
        is_old = (
            "r.finished_at < ? AND r.updated_at < ? "
            f"AND NOT EXISTS (SELECT 1 FROM spans AS s WHERE {self._same_run})"
        )
        values = (before_us, before_us)
        sql = f"SELECT r.id FROM runs AS r WHERE r.id > ? AND r.id <= ? AND {is_old} ORDER BY r.id"
        old = [row_id for (row_id,) in self.rows(sql, (after, seen[-1], *values))]
        last_id = None if len(seen) < most else to_text(seen[-1])
        runs, keys = self._remove_runs(old, is_old, values) if old else (0, 0)
        return runs, keys, last_id

    def _remove_runs(
        self, ids: Collection[bytes], is_old: str, values: Sequence[Value]
    ) -> tuple[int, int]:
        """Delete runs that are old with their keys; return how many of both."""
        # Checked again, now that no transaction can add a span to them.
        self.hold([to_text(each) for each in ids], [])
        gone: list[tuple[Any, ...]] = []
        for run_ids in self.together(ids):
            among, named = self.among_runs("r.", run_ids)
            sql = (
                f"DELETE FROM runs AS r WHERE {among} AND {is_old} "
                "RETURNING id, ref, external_identifier"
            )
            gone += self.rows(sql, (*named, *values))
        for run_id, run_ref, identifier in gone:
            shard, of_run = self.in_shard("", run_id)
            for table in ("run_changes", "run_labels", "run_subjects", "span_findings"):
                sql = f"DELETE FROM {table} WHERE {shard}run_ref = ?"
                self.run(sql, (*of_run, run_ref))
            if identifier is not None:
                sql = "DELETE FROM run_keys WHERE external_identifier = ? AND run_id = ?"
                self.run(sql, (identifier, run_id))
        among, values = self.among("agent_instance_id", [to_text(row[0]) for row in gone])
        sql = f"DELETE FROM idempotency_keys WHERE {among} AND agent_span_id IS NULL"
        return len(gone), self.run(sql, values)

    def forget_keys(
        self, before_us: int, first_id: str, after: KeyName, most: int
    ) -> tuple[int, KeyName | None]:
        """Delete the old ones among the next idempotency keys that belong to no run that remains.

        Args:
            before_us: A key without a run is old if it was used before this.
            first_id: The key of a span is old if the id of the span is less than this; old spans
                are deleted already.
            after: Keys after this are looked at.

        Returns:
            How many were deleted, and the last that was looked at; None if there are no further
            ones.
        """
        names = list(self.rows(statements.NEXT_KEYS, (*after, most)))
        if not names:
            return 0, None
        last: KeyName = names[-1]
        count = self.run(statements.FORGET_KEYS, (*after, *last, first_id, before_us))
        return count, None if len(names) < most else last
