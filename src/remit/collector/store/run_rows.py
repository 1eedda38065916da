"""Rows of runs, with their places, labels and subjects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from remit._base.ids import SHORT_CHARS, decode
from remit.collector.store import statements
from remit.collector.store.execution import Execution, PlaceRefs
from remit.collector.store.filters import Listed, Page
from remit.collector.store.ids import ID_BYTES, to_bytes, to_text
from remit.collector.store.rows import (
    RunRow,
)
from remit.collector.store.statements import Value

TAIL_BYTES: Final = 5
"""Length of a short id as stored: 8 characters of 5 bits."""
_OWN_AGENT: Final = "EXISTS (SELECT 1 FROM agents WHERE id = ? AND account_id = ?)"
_RUN_NAMES: Final = {name: f"r.{name}" for name in RunRow.__struct_fields__}


class RunRows(Execution):
    """The runs."""

    def runs(self, account_id: str | None, run_ids: Collection[str]) -> dict[str, RunRow]:
        """Return the existing runs among *run_ids*, keyed by id."""
        if unread := self._unread(run_ids):
            self._read_runs(unread)
        known = (self._pending.runs[each] for each in run_ids)
        return {
            row.id: row for row in known if row is not None and account_id in {None, row.account_id}
        }

    def _unread(self, run_ids: Collection[str]) -> list[str]:
        """Return the ids of runs that are not read yet, noted as if none existed."""
        unread = [each for each in run_ids if each not in self._pending.runs]
        self._pending.runs.update(dict.fromkeys(unread))
        return unread

    def _read_runs(self, run_ids: Collection[str]) -> None:
        """Read runs, which a writing transaction locks, in order so that two cannot deadlock."""
        where, values = self.among_ids("r.id", [to_bytes(each) for each in run_ids])
        sql = f"{statements.RUNS} WHERE {where} ORDER BY r.id{self._lock_clause(RunRow)}"
        self._note_runs(self._fetch(sql, values))

    def _note_runs(self, rows: Iterable[Sequence[Any]]) -> None:
        """Note runs that were read, except those that this transaction has changed."""
        for run_id, *rest in rows:
            row = RunRow(to_text(run_id), *rest)
            if self._pending.runs.get(row.id) is None:
                self._pending.runs[row.id] = row

    def has_key(self, external_identifier: str) -> bool:
        """Return whether a run of any agent has this identifier."""
        sql = "SELECT 1 FROM run_keys WHERE external_identifier = ? LIMIT 1"
        return bool(list(self.rows(sql, (external_identifier,))))

    def runs_ending(self, account_id: str, tail: str, most: int) -> list[str]:
        """Return the ids of the runs whose id or identifier ends with *tail*, the newest first.

        It reads the ids of all runs, because an index of their ends costs more than it saves. The
        other account's runs may be among those of the identifiers.
        """
        sql = (
            f"SELECT r.id FROM runs AS r WHERE {statements.RUN_FILTERS['account_id']} "
            f"AND substr(r.id, {ID_BYTES - TAIL_BYTES + 1}) = ? ORDER BY r.id DESC LIMIT ?"
        )
        values = (account_id, decode(tail).to_bytes(TAIL_BYTES), most)
        ids = [bytes(row[0]) for row in self.rows(sql, values)]
        sql = (
            "SELECT run_id FROM run_keys WHERE "
            f"substr(external_identifier, length(external_identifier) - {SHORT_CHARS - 1}) = ? "
            "LIMIT ?"
        )
        ids += [bytes(row[0]) for row in self.rows(sql, (tail, most))]
        return [to_text(each) for each in sorted(set(ids), reverse=True)]

    def run_of_identifier(
        self, agent_id: str, environment_id: str, external_identifier: str
    ) -> str | None:
        """Return the id of the run of an agent in an environment with this identifier."""
        sql = (
            "SELECT k.run_id FROM run_keys AS k WHERE k.external_identifier = ? "
            "AND k.agent_ref = (SELECT ref FROM agents WHERE id = ?) "
            "AND k.environment_ref = (SELECT ref FROM environments WHERE id = ?)"
        )
        values = (external_identifier, agent_id, environment_id)
        return next((to_text(row[0]) for row in self.rows(sql, values)), None)

    def list_runs(
        self, account_id: str | None, equal: Mapping[str, str], page: Page
    ) -> Listed[RunRow]:
        """Return runs whose columns equal the values in *equal*."""
        conditions = [statements.RUN_FILTERS[name] for name in equal]
        values: tuple[Value, ...] = tuple(equal.values())
        if account_id is not None:
            # An agent belongs to one account, so that its runs need not be read for theirs.
            of_agent = "agent_id" in equal
            conditions.append(_OWN_AGENT if of_agent else statements.RUN_FILTERS["account_id"])
            values += (equal["agent_id"], account_id) if of_agent else (account_id,)
        where = " AND ".join(conditions) or "TRUE"
        total = self._count(f"FROM runs AS r WHERE {where}", values)
        sql = f"{statements.RUNS} WHERE {where} {page.clause(RunRow, _RUN_NAMES)}"
        return Listed(self._runs(sql, (*values, *page.limits)), total)

    def run_counts(
        self, agent_ids: Collection[str], environment_id: str | None = None
    ) -> dict[str, dict[str, int]]:
        """Return the number of runs by agent and status."""
        counts: dict[str, dict[str, int]] = {agent_id: {} for agent_id in agent_ids}
        where, values = self.among("a.id", agent_ids)
        if environment_id is not None:
            where = f"{where} AND {statements.RUN_FILTERS['environment_id']}"
            values = (*values, environment_id)
        sql = (
            "SELECT a.id, r.status, COUNT(*) FROM agents AS a "
            f"JOIN runs AS r ON r.agent_ref = a.ref WHERE {where} GROUP BY a.id, r.status"
        )
        for agent_id, status, count in self.rows(sql, values):
            counts[agent_id][status] = count
        return counts

    def newest_terminated(
        self, agent_id: str, environment_id: str | None, most: int
    ) -> list[RunRow]:
        """Return the newest terminated runs of an agent, of all environments or of one."""
        wanted = {"agent_id": agent_id, "status": "terminated"}
        if environment_id is not None:
            wanted["environment_id"] = environment_id
        where = " AND ".join(statements.RUN_FILTERS[name] for name in wanted)
        sql = f"{statements.RUNS} WHERE {where} ORDER BY r.id DESC LIMIT ?"
        return self._runs(sql, (*wanted.values(), most))

    def runs_of_person(
        self, person_hash: str, equal: Mapping[str, str] | None = None, most: int | None = None
    ) -> list[str]:
        """Return the ids of the runs about a subject, or on behalf of somebody, by the hash.

        As `runs_of_agent` does.
        """
        with_run = self.with_run.replace("s.", "u.")
        source = f"FROM run_subjects AS u {with_run} WHERE u.subject_hash = ?"
        return self._run_ids(source, person_hash, equal, most)

    def runs_of_agent(
        self, agent_id: str, equal: Mapping[str, str] | None = None, most: int | None = None
    ) -> list[str]:
        """Return the ids of an agent's runs, oldest first.

        Args:
            equal: Only runs whose columns equal these values.
        """
        source = f"FROM runs AS r WHERE {statements.RUN_FILTERS['agent_id']}"
        return self._run_ids(source, agent_id, equal, most)

    def _run_ids(
        self, source: str, value: str, equal: Mapping[str, str] | None, most: int | None
    ) -> list[str]:
        wanted = equal or {}
        filters = "".join(f" AND {statements.RUN_FILTERS[name]}" for name in wanted)
        limit = "" if most is None else f" LIMIT {most}"
        sql = f"SELECT r.id {source}{filters} ORDER BY r.id{limit}"
        return [to_text(row[0]) for row in self.rows(sql, (value, *wanted.values()))]

    @abstractmethod
    def hold(
        self,
        run_ids: Collection[str],
        span_ids: Collection[str],
        *,
        created: Collection[str] = (),
    ) -> Collection[int] | None:
        """Lock these runs, and those of these spans, until the transaction ends.

        Args:
            created: Those of the spans that are to be added to one of these runs. In a
                distributed database they are looked up in the shards of these runs only.

        Returns:
            The shards in which some of the spans exist, for `spans`; None if that is not known. If
            another transaction adds one of the others meanwhile, adding it here is a conflict.
        """

    def add_run(self, row: RunRow) -> RunRow:
        """Insert a run whose id is new; return it with its references.

        Raises:
            ConflictError: Another transaction added one of the same id or external identifier.
        """
        place_ref, account_ref, agent_ref, environment_ref = self._place(row)
        row = msgspec.structs.replace(
            row,
            place_ref=place_ref,
            account_ref=account_ref,
            agent_ref=agent_ref,
            environment_ref=environment_ref,
        )
        values = {name: getattr(row, name) for name in statements.INSERTED}
        values["id"] = to_bytes(row.id)
        row = msgspec.structs.replace(row, ref=self._insert_run(values))
        if row.external_identifier is not None:
            key = (row.external_identifier, agent_ref, environment_ref, values["id"])
            self._insert_key_of_run(key)
        self._pending.runs[row.id] = row
        self.counts.run(None, row)
        return row

    @abstractmethod
    def _insert_run(self, values: Mapping[str, Value]) -> int:
        """Insert a row of `runs`; return its reference."""

    @abstractmethod
    def _insert_key_of_run(self, values: Sequence[Value]) -> None:
        """Insert a row of `run_keys`."""

    def _place(self, row: RunRow) -> PlaceRefs:
        """Return the references of the place of a run, which is added if it is new."""
        place = tuple(str(getattr(row, name)) for name in statements.PLACE)
        refs = self._known.places.get(place) or self.references.places.get(place)
        if refs is None:
            refs = self._find_place(place)
            if refs is None:
                account_id, agent_id, environment_id = place[0], place[1], place[4]
                self.run(statements.ADD_PLACE, (*place, account_id, agent_id, environment_id))
                refs = self._find_place(place)
            assert refs is not None  # noqa: S101 - it was added, here or elsewhere
            self.references.places[place] = refs
        return refs

    def _find_place(self, place: Sequence[str]) -> PlaceRefs | None:
        for place_ref, account_ref, agent_ref, environment_ref in self.rows(
            statements.FIND_PLACE, place
        ):
            return place_ref, account_ref, agent_ref, environment_ref
        return None

    def change_runs(self, rows: Collection[RunRow]) -> None:
        """Change existing runs, when the transaction ends."""
        pending = self._pending
        before = self.runs(None, [row.id for row in rows])
        for row in rows:
            if row.id not in pending.new_runs:
                pending.changed.setdefault(row.id, before[row.id])
            pending.runs[row.id] = row
            self.counts.change(row)

    @abstractmethod
    def add_labels(self, run: RunRow, labels: Iterable[tuple[str, str]]) -> None:
        """Record labels of a run, as pairs of key and value; those recorded already stay."""

    @abstractmethod
    def add_subject(self, run: RunRow, subject_hash: str) -> None:
        """Record the hash of a person of a run; one recorded already stays."""

    def _runs(self, sql: str, values: Sequence[Value] = ()) -> list[RunRow]:
        return [RunRow(to_text(row_id), *rest) for row_id, *rest in self.rows(sql, values)]
