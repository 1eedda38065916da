"""The most that a comparison with a schema can cost, counted before the schema is compiled.

A schema of a few lines can keep a validator busy for years (alternatives that refer to each other
double the work at each level), so the most that it can cost is counted first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, cast
from urllib.parse import unquote

from remit.collector.meaning.positions import (
    APPLYING,
    BRANCH,
    HERE,
    ITEMS,
    MEMBER,
    MEMBERS,
    OTHERS,
    PLACE,
    Schema,
    inner,
)

MAX_SCHEMA_VALUES: Final = 8000
"""JSON values of one schema; compiling so many takes 20 ms."""
MAX_PATTERNS: Final = 64
"""Patterns of one schema."""
MAX_PATTERN_CHARS: Final = 1000
MAX_STEPS_IN_PLACE: Final = 64
"""So many schemas may be applied to one value through each other; it bounds the stack."""
MAX_DEPTH: Final = 100
_ENOUGH: Final = 10**9
"""More than any comparison may cost; growing is not followed further."""
_MAX_EDGES: Final = 20_000
_MAX_WORK: Final = 60_000
"""So often may a part be weighed; it takes 30 ms."""
_UNEVALUATED: Final = ("unevaluatedItems", "unevaluatedProperties")
_UNEVALUATED_AGAIN: Final = 4
"""To know what was evaluated, what stands beside is evaluated again, and its parts."""
_NOT_COUNTED: Final = APPLYING | {
    "$comment",
    "$defs",
    "default",
    "definitions",
    "description",
    "examples",
    "title",
}
_UNIQUE_STEPS: Final = 15
"""Of up to 15 items a validator compares each with each; more it hashes, all that is in them."""
_DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")

Nodes: TypeAlias = Counter[int]
Part: TypeAlias = tuple[tuple[int, int], ...]
"""Schemas that are applied to one part of a value, and how often."""
_ANYTHING: Final[Schema] = {}


class UncheckableError(Exception):
    """A schema with which nothing is compared; the message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Weight:
    """How much work one value of a payload can be, by how deep the payload nests.

    Attributes:
        steps: Keywords and values of the schema that are looked at, for depth 0, 1, and so on; a
            payload that nests deeper than the list is long costs what its last one says.
        patterns: The same for regular expressions.
        schema_values: Number of values in the schema.
        schema_patterns: Number of patterns in the schema.
    """

    steps: tuple[int, ...]
    patterns: tuple[int, ...]
    schema_values: int
    schema_patterns: int

    @property
    def grows(self) -> bool:
        """Whether it matters how deep a payload nests."""
        return len(self.steps) > 1

    def of(self, values: int, chars: int, depth: int) -> int:
        """Return the most steps that a payload can take.

        Args:
            values: How many JSON values it holds.
            chars: Its length.
            depth: How deep it nests.
        """
        steps = self.steps[min(depth, len(self.steps) - 1)]
        patterns = self.patterns[min(depth, len(self.patterns) - 1)]
        # Comparing 64 characters takes about as long as a step; a pattern takes each by itself.
        return steps * (values + chars // 64) + patterns * chars


def weight_of(root: Schema, *, explained: bool = False) -> Weight:
    """Return what comparing with the schema *root* can cost.

    Args:
        root: The schema.
        explained: Whether it is also said what does not match: for that a validator goes through
            each alternative once more, at each level.

    Raises:
        UncheckableError: It refers to something outside itself, or to itself without end, or is
            too large to be compiled.
    """
    graph = _Graph(root, branch_times=2 if explained else 1)
    own = {node: _own(schema) for node, schema in graph.schemas.items()}
    patterns = {node: _patterns(schema) for node, schema in graph.schemas.items()}
    values_count, patterns_count = sum(own.values()), sum(patterns.values())
    if values_count > MAX_SCHEMA_VALUES or patterns_count > MAX_PATTERNS:
        raise UncheckableError("the schema is too large")
    together = {node: graph.together(node) for node in graph.schemas}
    below = {node: graph.below(all_) for node, all_ in together.items()}
    return Weight(
        tuple(_by_depth(id(root), own, together, below)),
        tuple(_by_depth(id(root), patterns, together, below)),
        values_count,
        patterns_count,
    )


def _by_depth(
    root: int, own: Mapping[int, int], together: Mapping[int, Nodes], below: Mapping[int, set[Part]]
) -> Iterator[int]:
    """Yield the cost at *root* for depth 0, 1, and so on, until it grows no more."""
    here = {
        node: min(_ENOUGH, sum(own[each] * times for each, times in all_.items()))
        for node, all_ in together.items()
    }
    edges = len(here) + sum(len(part) for parts in below.values() for part in parts)
    cost, work = here, 0
    yield cost[root]
    for _ in range(MAX_DEPTH):
        work += edges
        if work > _MAX_WORK:
            raise UncheckableError("the schema is too large")
        deeper = {node: min(_ENOUGH, here[node] + _dearest(below[node], cost)) for node in here}
        if deeper == cost:
            return
        cost = deeper
        yield cost[root]


def _dearest(parts: set[Part], cost: Mapping[int, int]) -> int:
    return max((sum(cost[child] * n for child, n in part) for part in parts), default=0)


class _Graph:
    """The schemas of one schema, and which of them are applied to what."""

    def __init__(self, root: Schema, *, branch_times: int) -> None:
        self._times = {BRANCH: branch_times, HERE: 1}
        self._edges = 0
        self.schemas: dict[int, Schema] = {}
        self._refs: dict[int, Schema] = {}
        self._together: dict[int, Nodes] = {}
        waiting = [root]
        while waiting:
            schema = waiting.pop()
            if id(schema) in self.schemas:
                continue
            if len(self.schemas) >= MAX_SCHEMA_VALUES:
                raise UncheckableError("the schema is too large")
            self.schemas[id(schema)] = schema
            _check(schema, is_root=schema is root)
            waiting.extend(each.schema for each in inner(schema))
            if "$ref" in schema:
                self._refs[id(schema)] = target(root, schema["$ref"])
                waiting.append(self._refs[id(schema)])

    def together(self, node: int, path: tuple[int, ...] = ()) -> Nodes:
        """Return the schemas that are applied to the value to which *node* is, and how often."""
        known = self._together.get(node)
        if known is not None:
            return known
        if node in path or len(path) > MAX_STEPS_IN_PLACE:
            raise UncheckableError("the schema refers to itself at the same place, or nests deep")
        schema, found = self.schemas[node], Counter({node: 1})
        again = _UNEVALUATED_AGAIN if any(name in schema for name in _UNEVALUATED) else 1
        parts = [(id(each.schema), self._times.get(each.applied, 0)) for each in inner(schema)]
        if node in self._refs:
            parts.append((id(self._refs[node]), 1))
        for child, times in parts:
            if times:
                for each, count in self.together(child, (*path, node)).items():
                    found[each] = min(_ENOUGH, found[each] + count * times * again)
        self._together[node] = found
        return found

    def below(self, applied: Nodes) -> set[Part]:
        """Return, for each kind of part of a value, the schemas that are applied to that part."""
        found: dict[str, list[tuple[int, int]]] = {}
        named: dict[str, list[tuple[int, int]]] = {}
        for node, times in applied.items():
            for each in inner(self.schemas[node]):
                if each.applied == MEMBER:
                    named.setdefault(each.name, []).append((id(each.schema), times))
                else:
                    found.setdefault(each.applied, []).append((id(each.schema), times))
        others = (*found.get(MEMBERS, ()), *found.get(OTHERS, ()))
        items = (*found.get(ITEMS, ()), *found.get(PLACE, ()))
        parts: set[Part] = {items, others, *((*some, *others) for some in named.values())}
        parts.discard(())
        self._edges += sum(map(len, parts))
        if self._edges > _MAX_EDGES:
            raise UncheckableError("the schema is too large")
        return parts


def patterns_in(schema: Schema) -> int:
    """Return how many patterns there are in *schema*, or more if some of it is no schema."""
    count, waiting = 0, [cast("object", schema)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(cast("list[object]", value))
        elif isinstance(value, dict):
            members = cast("Schema", value)
            count += isinstance(members.get("pattern"), str)
            count += len(list(_keys(members.get("patternProperties"))))
            waiting.extend(members.values())
    return count


def target(root: Schema, reference: object) -> Schema:
    """Return the schema to which *reference* leads.

    Raises:
        UncheckableError: It leads outside, or nowhere.
    """
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise UncheckableError("the schema refers to something outside itself")
    found: object = root
    for part in reference[2:].split("/") if reference != "#" else ():
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isascii() and name.isdigit():
            items = cast("list[object]", found)
            found = items[int(name[:6])] if int(name[:6]) < len(items) else None
        else:
            found = cast("Schema", found).get(name) if isinstance(found, dict) else None
    if found is True:
        return _ANYTHING
    if not isinstance(found, dict):
        raise UncheckableError("the schema refers to something that is not there")
    return cast("Schema", found)


def _check(schema: Schema, *, is_root: bool) -> None:
    if any(name in schema for name in _DYNAMIC):
        raise UncheckableError("the schema refers to what stands around it")
    if not is_root and any(isinstance(schema.get(name), str) for name in ("$id", "id")):
        raise UncheckableError("the schema holds another one with a name of its own")
    patterns = [schema.get("pattern"), *_keys(schema.get("patternProperties"))]
    if any(isinstance(each, str) and len(each) > MAX_PATTERN_CHARS for each in patterns):
        raise UncheckableError("a pattern is too long")


def _own(schema: Schema) -> int:
    """Return how many values there are in *schema* without those of the schemas inside it."""
    count = 1 + sum(_size(schema[name]) for name in schema.keys() & APPLYING)
    waiting = [value for name, value in schema.items() if name not in _NOT_COUNTED]
    if schema.get("uniqueItems"):
        count += _UNIQUE_STEPS
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting.extend(cast("Schema", value).values())
        elif isinstance(value, list):
            waiting.extend(cast("list[object]", value))
        if count > MAX_SCHEMA_VALUES:
            break
    return count


def _size(value: object) -> int:
    return len(cast("list[object]", value)) if isinstance(value, dict | list) else 0


def _patterns(schema: Schema) -> int:
    return ("pattern" in schema) + len(list(_keys(schema.get("patternProperties"))))


def _keys(value: object) -> Iterator[str]:
    yield from cast("Schema", value) if isinstance(value, dict) else ()
