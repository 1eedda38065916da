"""What a schema version says about spans and qualities, read once and kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from remit.collector.meaning.checks import Checker, CompiledSchemas
from remit.collector.meaning.summaries import Template
from remit.collector.meaning.weight import patterns_in
from remit.collector.store import Reading
from remit.collector.wire import read_json

MAX_VERSIONS: Final = 256
MAX_CHARS: Final = 4 * 1024 * 1024
"""So many characters of schemas are kept."""
MAX_VERSION_PATTERNS: Final = 256
"""Patterns of all schemas of a version; nothing is compared with the schemas beyond."""
DataRisk: TypeAlias = Mapping[str, Mapping[str, str]]


_NO_SCHEMA: Final = Raw(b"{}")


class _SpanType(msgspec.Struct):
    """A span type as a schema version keeps it; its schemas are read when they are used."""

    name: str
    title: Any = None
    data_risk: Any = None
    template: Any = None
    params_schema: Raw = _NO_SCHEMA
    result_schema: Raw = _NO_SCHEMA


class _Quality(msgspec.Struct):
    """A kind of quality payload as a schema version keeps it."""

    name: str
    template: Any = None
    schema: Raw = _NO_SCHEMA


_read_span_types: Final = msgspec.json.Decoder(list[_SpanType]).decode
_read_qualities: Final = msgspec.json.Decoder(list[_Quality]).decode


class _Checkers:
    """Makes the checkers of one version, in the order of its schemas."""

    def __init__(self, compiled: CompiledSchemas) -> None:
        self._left = MAX_VERSION_PATTERNS
        self._compiled = compiled

    def of(self, schema: Raw) -> Checker:
        """Return what compares with *schema*."""
        count, unchecked = _patterns_in(schema), None
        if count > self._left:
            unchecked = f"the schema version has more than {MAX_VERSION_PATTERNS} patterns"
        else:
            self._left -= count
        return Checker(schema, self._compiled, unchecked=unchecked)


def _patterns_in(schema: Raw) -> int:
    """Return how many patterns there are in a schema, which was encoded without white space."""
    text = bytes(schema)
    if b'"patternProperties":' in text:
        return patterns_in(read_json(text))
    return text.count(b'"pattern":"')


class CompiledSpanType:
    """One span type.

    Attributes:
        title: What people read, else the name.
        data_risk: What its steps may do and which data they handle, if that was declared.
        params: What a payload is compared with.
        result: What a result is compared with.
        template: What writes a summary.
    """

    __slots__ = ("data_risk", "params", "result", "template", "title")

    def __init__(self, described: _SpanType, checkers: _Checkers) -> None:
        """Read what a schema version keeps of it."""
        self.title: str = described.title or described.name
        self.data_risk: DataRisk | None = described.data_risk
        self.params = checkers.of(described.params_schema)
        self.result = checkers.of(described.result_schema)
        self.template = Template(described.template)


class Quality:
    """One kind of quality payload.

    Attributes:
        schema: What a payload is compared with.
        template: What writes a summary.
    """

    __slots__ = ("schema", "template")

    def __init__(self, described: _Quality, checkers: _Checkers) -> None:
        """Read what a schema version keeps of it."""
        self.schema = checkers.of(described.schema)
        self.template = Template(described.template)


class Declared:
    """One schema version.

    Attributes:
        types: The span types by name.
        qualities: The kinds of quality payload by name.
        chars: How long the schemas are.
    """

    __slots__ = ("chars", "qualities", "types")

    def __init__(
        self, span_type_schemas: str, quality_schemas: str, compiled: CompiledSchemas
    ) -> None:
        """Read both, which are JSON arrays; their schemas are compiled in *compiled*."""
        self.chars = len(span_type_schemas) + len(quality_schemas)
        checkers = _Checkers(compiled)
        self.types = {
            each.name: CompiledSpanType(each, checkers)
            for each in _read_span_types(span_type_schemas)
        }
        self.qualities = {
            each.name: Quality(each, checkers) for each in _read_qualities(quality_schemas)
        }


class Declarations:
    """The schema versions that were asked for last: they never change, so they are read once.

    Any thread may ask.
    """

    def __init__(self, *, max_versions: int = MAX_VERSIONS, max_chars: int = MAX_CHARS) -> None:
        """Start with none read.

        Args:
            max_versions: How many are kept.
            max_chars: How many characters of schemas are kept; the last read is kept in any case.
        """
        self._max_versions = max_versions
        self._max_chars = max_chars
        self._compiled = CompiledSchemas()
        self._known: OrderedDict[str, Declared] = OrderedDict()
        self._chars = 0
        self._lock = threading.Lock()

    def of(self, tx: Reading, schema_version_id: str) -> Declared:
        """Return what a schema version says; one that is not there says nothing."""
        known = self._known.get(schema_version_id)
        if known is None:
            row = tx.schema_version_of_id(schema_version_id)
            known = _NOTHING
            if row is not None:
                known = Declared(row.span_type_schemas, row.quality_schemas, self._compiled)
            with self._lock:
                return self._kept(schema_version_id, known)
        # Another thread may have forgotten it since.
        with suppress(KeyError):
            self._known.move_to_end(schema_version_id)
        return known

    def _kept(self, schema_version_id: str, new: Declared) -> Declared:
        """Keep what was read, unless another thread was faster."""
        known = self._known.setdefault(schema_version_id, new)
        if known is new:
            self._chars += new.chars
            self._forget()
        return known

    def _forget(self) -> None:
        """Forget what was not asked for lately, if there is too much."""
        while len(self._known) > 1 and (
            len(self._known) > self._max_versions or self._chars > self._max_chars
        ):
            self._chars -= self._known.popitem(last=False)[1].chars


_NOTHING: Final = Declared("[]", "[]", CompiledSchemas())
