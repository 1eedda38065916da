"""The span types and kinds of quality payload that schema versions declare, read once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from remit._policy.maxima import KEYWORD
from remit.collector.json_io import canonical, read_json
from remit.collector.store.transaction import Transaction
from remit.collector.validation.schemas import (
    MAX_COMPILED_BYTES,
    Checker,
    CompiledSchemas,
    SizedCache,
    measured,
)
from remit.collector.validation.summaries import Template

MAX_CHARS: Final = 4 * 1024 * 1024
"""Characters of schemas that are kept."""
MIN_CHARS: Final = 16 * 1024
"""Least size of a schema version, so that at most 256 are kept."""
HASH_CHARS: Final = 32
MAX_VERSION_PATTERNS: Final = 256
"""Patterns of all schemas of a version; nothing is compared with the schemas beyond."""
DataRisk: TypeAlias = Mapping[str, Mapping[str, str]]

_NO_SCHEMA: Final = Raw(b"{}")
_MODEL_CALL: Final = b'"x-remit-kind":"llm"'
_AGENT: Final = b'"x-remit-kind":"agent"'
_LIMITS: Final = f'"{KEYWORD}":'.encode()
_ASKS: Final = b'"x-remit-asks":'


class StoredSpanType(msgspec.Struct):
    """A span type as stored in a schema version; its schemas are read when they are used."""

    name: str
    title: Any = None
    description: Any = None
    data_risk: Any = None
    template: Any = None
    params_schema: Raw = _NO_SCHEMA
    result_schema: Raw = _NO_SCHEMA


class _Quality(msgspec.Struct):
    name: str
    template: Any = None
    schema: Raw = _NO_SCHEMA


read_span_types: Final = msgspec.json.Decoder(list[StoredSpanType]).decode
"""Reads the span types of a stored schema version."""
_read_qualities: Final = msgspec.json.Decoder(list[_Quality]).decode


class _Checkers:
    """Makes the checkers of one version, in the order of its schemas."""

    def __init__(self, compiled: CompiledSchemas) -> None:
        self._left = MAX_VERSION_PATTERNS
        self._compiled = compiled

    def of(self, schema: Raw) -> Checker:
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
        return measured(read_json(text)).patterns
    return text.count(b'"pattern":"')


class CompiledSpanType:
    """One span type.

    Attributes:
        asking_schema: Schema of its parameters, if it is an agent that asks a person; else empty.
        hash: Hash of the title and the data risk.
        is_agent: Whether it is the agent of a framework.
        has_limits: Whether it may be an agent that limits how many steps take an action.
    """

    __slots__ = (
        "asking_schema",
        "data_risk",
        "has_limits",
        "hash",
        "is_agent",
        "is_model_call",
        "name",
        "params",
        "result",
        "template",
        "title",
    )

    def __init__(self, described: StoredSpanType, checkers: _Checkers) -> None:
        """Read it from a schema version."""
        self.name = described.name
        self.title: str = described.title or described.name
        self.data_risk: DataRisk | None = described.data_risk
        declared = canonical([self.title, self.data_risk])
        self.hash = hashlib.sha256(declared).hexdigest()[:HASH_CHARS]
        self.params = checkers.of(described.params_schema)
        self.result = checkers.of(described.result_schema)
        self.template = Template(described.template)
        # The schema was encoded without white space.
        params_schema = bytes(described.params_schema)
        self.is_model_call = _MODEL_CALL in params_schema
        self.is_agent = _AGENT in params_schema
        self.has_limits = _LIMITS in params_schema
        self.asking_schema = Raw(params_schema) if _ASKS in params_schema else _NO_SCHEMA


class Quality(NamedTuple):
    """One kind of quality payload."""

    schema: Checker
    template: Template


class Declared:
    """One schema version."""

    __slots__ = ("chars", "qualities", "types")

    def __init__(
        self, span_type_schemas: str, quality_schemas: str, compiled: CompiledSchemas
    ) -> None:
        """Read both, which are JSON arrays; *compiled* keeps their compiled schemas."""
        self.chars = len(span_type_schemas) + len(quality_schemas)
        checkers = _Checkers(compiled)
        self.types = {
            described.name: CompiledSpanType(described, checkers)
            for described in read_span_types(span_type_schemas)
        }
        self.qualities = {
            described.name: Quality(checkers.of(described.schema), Template(described.template))
            for described in _read_qualities(quality_schemas)
        }


class Declarations:
    """The schema versions that were used last; they never change, so each is read once.

    Thread-safe.
    """

    def __init__(self, *, max_chars: int = MAX_CHARS) -> None:
        """Start with none read.

        Args:
            max_chars: How many characters of schemas are kept; the last read is kept in any case.
        """
        self._compiled: CompiledSchemas = SizedCache(MAX_COMPILED_BYTES)
        self._known: SizedCache[Declared] = SizedCache(max_chars)

    def of(self, tx: Transaction, schema_version_id: str) -> Declared:
        """Return the declarations of a schema version; none if it does not exist."""
        declared = self._known.get(schema_version_id)
        if declared is None:
            row = tx.schema_version_of_id(schema_version_id)
            declared = _NOTHING
            if row is not None:
                declared = Declared(row.span_type_schemas, row.quality_schemas, self._compiled)
            size = max(MIN_CHARS, declared.chars)
            declared = self._known.add(schema_version_id, declared, size)
        return declared


_NOTHING: Final = Declared("[]", "[]", SizedCache(0))
