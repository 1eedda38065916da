"""The spans of one run: their main fields in memory, their values in a temporary file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import Final, Self

import msgspec

from remit.client.endpoints.responses import lenient, read
from remit.models.agent_span import AgentSpan

MEMORY_BYTES: Final = 4 * 1024 * 1024
"""Above this size the values of a run are in a file."""


class _Facts(msgspec.Struct, gc=False):
    id: str
    schema_name: str
    status: str
    parent_span_id: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


_facts: Final = lenient(_Facts)


class StoredSpan:
    """A span whose values are read from the file when needed."""

    __slots__ = (
        "_file",
        "_offset",
        "_size",
        "finished_at",
        "id",
        "parent_span_id",
        "schema_name",
        "started_at",
        "status",
    )

    def __init__(self, facts: _Facts, file: SpanFile, offset: int, size: int) -> None:
        self.id: str = facts.id
        self.parent_span_id: str | None = facts.parent_span_id
        self.schema_name: str = sys.intern(facts.schema_name)
        self.status: str = sys.intern(facts.status)
        self.started_at: datetime | None = facts.started_at
        self.finished_at: datetime | None = facts.finished_at
        self._file = file
        self._offset = offset
        self._size = size

    @property
    def payload(self) -> dict[str, object] | None:
        return self.whole().payload

    @property
    def result_payload(self) -> dict[str, object] | None:
        return self.whole().result_payload

    @property
    def schema_errors(self) -> Sequence[str] | None:
        return self.whole().schema_errors

    def whole(self) -> AgentSpan:
        return self._file.read(self._offset, self._size)


class SpanFile:
    """A private temporary file with spans, in memory while it is short."""

    def __init__(self) -> None:
        self._file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 - closed by `__exit__`
        self._end = 0
        self._last: tuple[int, AgentSpan] | None = None

    def add(self, span: msgspec.Raw) -> StoredSpan:
        facts = _facts(span)
        offset = self._end
        self._file.seek(offset)
        self._end += self._file.write(span)
        return StoredSpan(facts, self, offset, self._end - offset)

    def read(self, offset: int, size: int) -> AgentSpan:
        """Return the span at *offset*; the last one is cached."""
        if self._last is None or self._last[0] != offset:
            self._file.seek(offset)
            self._last = offset, read(AgentSpan, self._file.read(size))
        return self._last[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
