"""The runs and the open spans of one spool file: what a later process needs to end them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from msgspec.structs import replace

from remit._outcomes import ACTIVE
from remit._sink import Item, Kind
from remit._spool.database import Database
from remit._spool.outbox import Registration, RunRecord, RunState
from remit._spool.packing import (
    Body,
    pack_registration,
    pack_run,
    unpack_registration,
    unpack_run,
)


class Runs:
    """The records of the runs in one file, in memory, and what of them is not written yet."""

    def __init__(self, database: Database) -> None:
        """Read what is in the file.

        Raises:
            sqlite3.Error: It is damaged.
            DamagedError: It is damaged.
        """
        known = {
            digest: unpack_registration(content)
            for digest, content in database.registrations().items()
        }
        self._digests = {registration: digest for digest, registration in known.items()}
        self._records = {key: unpack_run(body, known) for key, body in database.runs().items()}
        # Written with what is settled next: every call can be repeated, so no answer is urgent.
        self._changed: set[str] = set()
        self._forgotten: set[str] = set()

    def get(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        return self._records.get(key)

    def open(self) -> list[RunRecord]:
        """Return the runs that have not ended, and are not another process's to end."""
        records = list(self._records.values())
        return [record for record in records if not (record.ended or record.inherited)]

    def owing(self) -> list[RunRecord]:
        """Return the runs that are another process's to end, and of which something was lost."""
        records = list(self._records.values())
        return [record for record in records if record.inherited and record.lost]

    def live(self, items: Sequence[Item]) -> list[Item]:
        """Return those *items* that are of a known run which was not refused."""
        runs = {key: self._records.get(key) for key in {item.run_key for item in items}}
        live = {key for key, run in runs.items() if run and run.state is not RunState.SET_ASIDE}
        return [item for item in items if item.run_key in live]

    def save(self, record: RunRecord) -> None:
        """Keep *record*, to be written later."""
        self._records[record.key] = record
        self._changed.add(record.key)

    def forget(self, key: str) -> None:
        """Let go of a record, to be deleted later."""
        if self._records.pop(key, None) is not None:
            self._changed.discard(key)
            self._forgotten.add(key)

    def write(self, database: Database, records: Sequence[RunRecord]) -> None:
        """Write *records*, in a transaction of the caller's."""
        new: dict[Registration, bytes] = {}
        for record in records:
            registration = record.registration
            if registration not in self._digests and registration not in new:
                new[registration] = sha256(pack_registration(registration)).digest()
        database.add_registrations(
            [(digest, pack_registration(registration)) for registration, digest in new.items()]
        )
        digests = self._digests | new if new else self._digests
        database.add_runs(
            [(record.key, pack_run(record, digests[record.registration])) for record in records]
        )

    def bring_back(self) -> None:
        """Let the runs that a server refused be offered to it once more."""
        for record in self._records.values():
            if record.state is RunState.SET_ASIDE:
                record.state = RunState.NEW
                self._changed.add(record.key)

    def written(self, records: Sequence[RunRecord]) -> None:
        """Take note that `write` was committed."""
        for record in records:
            self._records[record.key] = record

    def write_back(self, database: Database) -> None:
        """Write what has changed, in a transaction of the caller's."""
        self.write(database, [self._records[key] for key in self._changed])
        database.forget_runs(self._forgotten)

    def written_back(self) -> None:
        """Take note that `write_back` was committed."""
        self._changed.clear()
        self._forgotten.clear()


@dataclass(frozen=True, slots=True)
class SpanNotes:
    """Which spans began and which ended among some items.

    Attributes:
        begun: Spans that were announced as active, by their keys.
        ended: Keys of the spans whose end came.
    """

    begun: dict[bytes, Item]
    ended: list[bytes]

    @classmethod
    def of(cls, items: Sequence[Item]) -> SpanNotes:
        """Look for announced spans and for ends; the end of a run is that of its root span."""
        begun: dict[bytes, Item] = {}
        ended: list[bytes] = []
        for item in items:
            if item.kind == Kind.SPAN:
                if item.status == ACTIVE:
                    begun[item.key] = replace(item, payload=None, result=None)
            elif item.kind in (Kind.FINISH, Kind.CLOSE):
                ended.append(item.key)
        return cls(begun, ended)

    def __bool__(self) -> bool:
        """Tell whether there is anything to note."""
        return bool(self.begun or self.ended)

    def write(self, database: Database) -> None:
        """Write the notes, in a transaction of the caller's."""
        database.add_open_spans([(key, Body.of([item])) for key, item in self.begun.items()])
        database.delete("open_span", "key", self.ended)
