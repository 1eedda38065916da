"""What a schema version says about spans and qualities, read once and kept for a while."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, TypeAlias, cast

from remit.collector.meaning.checks import Checker, CompiledSchemas
from remit.collector.meaning.positions import Schema
from remit.collector.meaning.templates import Template
from remit.collector.meaning.weight import patterns_in
from remit.collector.store import Reading
from remit.collector.wire import read_json

MAX_VERSIONS: Final = 256
MAX_CHARS: Final = 4 * 1024 * 1024
"""So many characters of schemas are kept."""
MAX_VERSION_PATTERNS: Final = 256
"""Patterns of all schemas of a version; nothing is compared with the schemas beyond."""
DataRisk: TypeAlias = Mapping[str, Mapping[str, str]]


class _Checkers:
    """Makes the checkers of one version, in the order of its schemas."""

    def __init__(self, text: str, compiled: CompiledSchemas) -> None:
        # Counting patterns in the schemas takes longer than counting their names in the text.
        self._few = _patterns_at_most(text) <= MAX_VERSION_PATTERNS
        self._left = MAX_VERSION_PATTERNS
        self._compiled = compiled

    def of(self, schema: object) -> Checker:
        """Return what compares with *schema*."""
        schema = cast("Schema", schema or {})
        unchecked = None
        if not self._few:
            count = patterns_in(schema)
            if count > self._left:
                unchecked = f"the schema version has more than {MAX_VERSION_PATTERNS} patterns"
            else:
                self._left -= count
        return Checker(schema, self._compiled, unchecked=unchecked)


def _patterns_at_most(text: str) -> float:
    """Return a number of patterns that the schemas in *text* do not exceed."""
    return math.inf if '"patternProperties":' in text else text.count('"pattern":')


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

    def __init__(self, described: Mapping[str, object], checkers: _Checkers) -> None:
        """Read what a schema version keeps of it."""
        self.title = cast("str", described.get("title") or described["name"])
        self.data_risk = cast("DataRisk | None", described.get("data_risk"))
        self.params = checkers.of(described.get("params_schema"))
        self.result = checkers.of(described.get("result_schema"))
        self.template = Template(cast("str | None", described.get("template")))


class Quality:
    """One kind of quality payload.

    Attributes:
        schema: What a payload is compared with.
        template: What writes a summary.
    """

    __slots__ = ("schema", "template")

    def __init__(self, described: Mapping[str, object], checkers: _Checkers) -> None:
        """Read what a schema version keeps of it."""
        self.schema = checkers.of(described.get("schema"))
        self.template = Template(cast("str | None", described.get("template")))


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
        checkers = _Checkers(span_type_schemas + quality_schemas, compiled)
        self.types = {
            cast("str", each["name"]): CompiledSpanType(each, checkers)
            for each in _described(span_type_schemas)
        }
        self.qualities = {
            cast("str", each["name"]): Quality(each, checkers)
            for each in _described(quality_schemas)
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


def _described(array: str) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", read_json(array))


_NOTHING: Final = Declared("[]", "[]", CompiledSchemas())
