"""Rows of requests for approval, of late answers and of used seals."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from remit.collector.store import statements
from remit.collector.store.execution import Execution
from remit.collector.store.ids import to_bytes, to_text
from remit.collector.store.rows import AgentRow, AskRow, LateAnswerRow, RunRow, SealRow
from remit.collector.store.statements import Value, Where

WAITING: Final = "waiting"
EXPIRED: Final = "expired"
WITHDRAWN: Final = "withdrawn"
# One statement decides which answer is the first.
_ANSWER: Final = (
    "UPDATE asks SET status = ?, answered_by = ?, answered_how = ?, why = ?, answered_at = ? "
    "WHERE id = ? AND status = 'waiting' AND expires_at > ?"
)
_WITHDRAW: Final = (
    f"UPDATE asks SET status = '{WITHDRAWN}', why = ?, answered_at = ? "
    "WHERE status = 'waiting' AND account_id = ? AND run = ? AND (agent_id IS NULL OR agent_id = ?)"
    " AND expires_at > ?"
)
_WITHDRAW_ONE: Final = (
    f"UPDATE asks SET status = '{WITHDRAWN}', why = ?, answered_at = ? "
    "WHERE status = 'waiting' AND id = ? AND expires_at > ?"
)
_NAME_AGENT: Final = (
    "UPDATE asks SET agent_id = ? WHERE account_id = ? AND agent = ? AND agent_id IS NULL"
)
_EXPIRE: Final = (
    f"UPDATE asks SET status = '{EXPIRED}' "
    "WHERE status = 'waiting' AND account_id = ? AND expires_at <= ?"
)
# The digests are deleted as well, because they can confirm a guess of the arguments.
_ERASE: Final = (
    "UPDATE asks SET arguments = '{}', hidden = '{}', unbound = '[]', changed = '[]', "
    "seal = NULL, body_hash = '', why = CASE WHEN why IS NULL THEN NULL ELSE ? END "
    "WHERE account_id = ? AND run = ?"
)
_ERASE_LATE: Final = (
    "UPDATE late_answers SET why = CASE WHEN why IS NULL THEN NULL ELSE ? END "
    "WHERE ask_id IN (SELECT id FROM asks WHERE account_id = ? AND run = ?)"
)
_OLD: Final = "SELECT id FROM asks WHERE asked_at < ? ORDER BY asked_at LIMIT ?"
_OLD_SEALS: Final = (
    "DELETE FROM used_seals WHERE (account_id, seal) IN "
    "(SELECT account_id, seal FROM used_seals WHERE used_at < ? LIMIT ?)"
)
_NEWEST_FIRST: Final = "ORDER BY id DESC LIMIT ?"


class AskRows(Execution):
    """The tables `asks`, `late_answers` and `used_seals`."""

    def ask(self, account_id: str, ask_id: str) -> AskRow | None:
        """Return the request of this id."""
        return self._one(AskRow, "id = ? AND account_id = ?", ask_id, account_id)

    def ask_of_ticket(self, account_id: str, run: str, ticket: str) -> AskRow | None:
        """Return the request of a run with this ticket."""
        where = "account_id = ? AND run = ? AND ticket = ?"
        return self._one(AskRow, where, account_id, run, ticket)

    def ask_after(self, account_id: str, run: str, ask_id: str) -> AskRow | None:
        """Return the request that replaced another one of its run."""
        return self._one(
            AskRow, "account_id = ? AND run = ? AND after = ?", account_id, run, ask_id
        )

    def asks(self, where: Where, most: int) -> list[AskRow]:
        """Return the requests for which *where* holds, the newest first."""
        sql = f"{statements.SELECT[AskRow]} WHERE {where.text} {_NEWEST_FIRST}"
        return self._all(AskRow, sql, (*where.values, most))

    def count_asks(self, where: Where) -> int:
        """Return the number of requests for which *where* holds."""
        return self._count(f"FROM asks WHERE {where.text}", where.values)

    def runs_of_keys(self, account_id: str, keys: Collection[str]) -> list[tuple[str, str, str]]:
        """Return key, agent and id of the runs with these keys, oldest first."""
        if not keys:
            return []
        among, values = self.among("k.external_identifier", keys)
        sql = (
            "SELECT k.external_identifier, a.id, k.run_id FROM run_keys AS k JOIN agents AS a "
            f"ON a.ref = k.agent_ref WHERE {among} AND a.account_id = ? ORDER BY k.run_id"
        )
        rows = self.rows(sql, (*values, account_id))
        return [(key, agent_id, to_text(run_id)) for key, agent_id, run_id in rows]

    def is_on_behalf_of(self, run_id: str, person_hash: str) -> bool:
        """Return whether a run is on behalf of a person, or about a subject, by the hash."""
        key = to_bytes(run_id)
        shard, values = self.in_shard("", key)
        source = f"FROM run_subjects WHERE {shard}run_id = ? AND subject_hash = ?"
        return self._count(source, (*values, key, person_hash)) > 0

    def answer_ask(self, row: AskRow, status: str, answered: tuple[str, str, str | None]) -> bool:
        """Write an answer if the request still waits; return whether it does.

        Args:
            row: The request, with the time of the answer as `answered_at`.
            answered: By whom, how the person signed in, and why.
        """
        at_us = row.answered_at
        return self.run(_ANSWER, (status, *answered, at_us, row.id, at_us)) == 1

    def withdraw_ask(self, row: AskRow, why: str, now_us: int) -> bool:
        """Withdraw a request that still waits; return whether it did."""
        return self.run(_WITHDRAW_ONE, (why, now_us, row.id, now_us)) == 1

    def name_agent_of_asks(self, agent: AgentRow) -> None:
        """Give the requests that came before their agent was known its id."""
        self.run(_NAME_AGENT, (agent.id, agent.account_id, agent.external_identifier))

    def expire_asks(self, account_id: str, now_us: int) -> None:
        """Mark the requests of an account whose time is over."""
        self.run(_EXPIRE, (account_id, now_us))

    def withdraw_asks_of(self, run: RunRow, why: str) -> None:
        """Withdraw what waits for an answer in a run that has ended, when the transaction ends."""
        if run.external_identifier is not None:
            self._pending.ended.append((run, why))

    def _withdraw_asks(self) -> None:
        """Withdraw the requests of the runs that ended in this transaction; most have none."""
        ended, self._pending.ended = self._pending.ended, []
        if not ended:
            return
        keys = [str(run.external_identifier) for run, _ in ended]
        account_id = ended[0][0].account_id
        among, values = self.among("run", keys)
        sql = f"SELECT run FROM asks WHERE status = 'waiting' AND account_id = ? AND {among}"
        waiting = {run for (run,) in self.rows(sql, (account_id, *values))}
        rows: list[tuple[Value, ...]] = [
            (
                why,
                run.updated_at,
                account_id,
                run.external_identifier,
                run.agent_id,
                run.updated_at,
            )
            for run, why in ended
            if run.external_identifier in waiting
        ]
        self.run_many(_WITHDRAW, rows)

    def erase_asks(self, run: RunRow, erased: str) -> None:
        """Erase the values of the requests of a run."""
        if run.external_identifier is not None:
            values = (erased, run.account_id, run.external_identifier)
            self.run(_ERASE_LATE, values)
            self.run(_ERASE, values)

    def late_answers(self, ask_ids: Collection[str]) -> list[LateAnswerRow]:
        """Return the late answers to requests, oldest first."""
        among, values = self.among("ask_id", ask_ids)
        sql = f"{statements.SELECT[LateAnswerRow]} WHERE {among} ORDER BY id"
        return self._all(LateAnswerRow, sql, values)

    def used_seals(self, account_id: str, seals: Collection[str]) -> dict[str, SealRow]:
        """Return those of *seals* that were used."""
        among, values = self.among("seal", seals)
        sql = f"{statements.SELECT[SealRow]} WHERE account_id = ? AND {among}"
        return {row.seal: row for row in self._all(SealRow, sql, (account_id, *values))}

    def forget_asks(self, before_us: int, most: int) -> int:
        """Delete up to *most* requests, with late answers, and seals from before a time."""
        old = [str(row[0]) for row in self.rows(_OLD, (before_us, most))]
        if old:
            for table, column in (("late_answers", "ask_id"), ("asks", "id")):
                among, values = self.among(column, old)
                self.run(f"DELETE FROM {table} WHERE {among}", values)
        return len(old) + self.run(_OLD_SEALS, (before_us, most))
