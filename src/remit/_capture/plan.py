"""The capture plan of a callable: how its arguments and its result are walked.

`fast` has the plans that walk only what they cannot encode at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias, cast

from msgspec import Raw, Struct, field

from remit._base.guard import attempt
from remit._base.memo import memoized
from remit._capture.cut import encode
from remit._capture.encode import Rules
from remit._capture.plain import UNSET, all_plain
from remit._capture.rules.names import name_rule
from remit._capture.rules.switches import CAPTURE_OFF, CATEGORY_OF_RULE
from remit._capture.scalars import text
from remit._capture.type_readers import (
    MarkedKey,
    ValueKind,
    category_of,
    reader_of,
    rule_of,
    rule_of_mark,
)
from remit._capture.walk import LABELS, MAX_INNER, Walk, is_harmless
from remit._inspect.annotations import resolved_info
from remit._inspect.fields import annotated_fields_of
from remit._inspect.introspection import is_class
from remit._inspect.overrides import CaptureOption
from remit._inspect.signature import MISSING, RETURN, Parameter, SignatureInfo

Capture: TypeAlias = bool | Mapping[str, CaptureOption]
"""`capture=` of a decorator: keys are parameters, `return`, and names of rules."""

SURPLUS: Final = "*"
"""Key of positional arguments that no parameter takes: the call itself will fail."""

SURPLUS_KEYWORDS: Final = "**"

MAX_CLASSES: Final = 500
"""Fields of more classes in one annotation are not read."""

_POSITIONAL_ONLY: Final = inspect.Parameter.POSITIONAL_ONLY
_VAR_POSITIONAL: Final = inspect.Parameter.VAR_POSITIONAL
_VAR_KEYWORD: Final = inspect.Parameter.VAR_KEYWORD
_BY_KEYWORD: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

MAX_FLAT_KEYS: Final = 64
_MAX_DEFAULT_CHARS: Final = 4_096
_NONE: Final[frozenset[str]] = frozenset()


class Direction(Struct, frozen=True):
    """The declaration of all parameters, or of the result.

    Attributes:
        rule: The rule that redacts everything, else None.
        excluded: Data categories whose values are redacted.
        keep: From `capture=`, by parameter and `return`: True records what the declaration
            redacts, False never records.
        off: From `capture=`: rules that are off for the whole span type.
        off_for: From `capture=`: rules that are off for one parameter, or for `return`.
    """

    rule: str | None = None
    excluded: frozenset[str] = frozenset()
    keep: Mapping[str, bool] = field(default_factory=dict[str, bool])
    off: frozenset[str] = frozenset()
    off_for: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    @classmethod
    def of(
        cls,
        rule: str | None,
        excluded: frozenset[str],
        capture: Mapping[str, CaptureOption],
    ) -> Direction:
        """Return the declaration; *capture* was checked when it was declared."""
        keep: dict[str, bool] = {}
        off: set[str] = set()
        off_for: dict[str, frozenset[str]] = {}
        for key, option in capture.items():
            if not isinstance(option, bool):
                off_for[key] = frozenset(option)
            elif ":" in key:  # a rule has a colon, a parameter has none
                off.add(key)
            else:
                keep[key] = option
        return cls(rule, excluded, keep, frozenset(off), off_for)


def _without_off(categories: frozenset[str], off: frozenset[str]) -> frozenset[str]:
    """Return *categories* without those whose rules are off."""
    return categories - {rule.removeprefix("category:") for rule in off}


class ParameterPlan(Struct, frozen=True):
    """How the values of one parameter, or the result, are captured.

    Attributes:
        declared_rule: The rule by which the declaration redacts every value, whatever its type.
        name_rule: The rule of its name, which lets None and booleans pass.
        category: The data category of its values: of their mark, type, name or rule.
        excluded: Data categories whose values inside it are redacted.
        declared: Fields that the annotation's classes mark, by key.
        rules_off: Of these, the ones that `capture=` turns off for it alone, sorted. `True` turns
            off the rules by which the declaration redacts the value.
    """

    name: str
    kind: int
    default: object = MISSING
    rule: str | None = None
    declared_rule: str | None = None
    name_rule: str | None = None
    category: str | None = None
    excluded: frozenset[str] = frozenset()
    declared: Mapping[str, MarkedKey] = field(default_factory=dict[str, MarkedKey])
    off: frozenset[str] = frozenset()
    rules_off: tuple[str, ...] = ()

    @classmethod
    def of(cls, parameter: Parameter, direction: Direction) -> ParameterPlan:
        """Return the plan of *parameter*, or of the result if its name is `return`."""
        key = parameter.name
        keep = direction.keep.get(key)
        rules_off = direction.off_for.get(key, _NONE)
        off = direction.off | rules_off
        excluded = _without_off(direction.excluded, off)
        declared_rule = None if direction.rule in off else direction.rule
        if keep is False:
            declared_rule = CAPTURE_OFF
        elif keep is True:
            rules_off |= {f"category:{category}" for category in direction.excluded}
            rules_off |= _NONE if direction.rule is None else {direction.rule}
            excluded, declared_rule = _NONE, None
        info = resolved_info(parameter.annotation)
        mark = parameter.category
        marked_rule = rule_of(info) if mark is None else rule_of_mark(mark)
        category = mark or category_of(info, key)
        category_rule = f"category:{category}" if category in excluded else None
        # In the order of the table of rules.
        rule = marked_rule or declared_rule or category_rule
        by_name = name_rule(key)
        return cls(
            name="result" if key == RETURN else key,
            kind=parameter.kind,
            default=parameter.default,
            rule=rule,
            declared_rule=declared_rule,
            name_rule=None if by_name in off else by_name,
            category=category or CATEGORY_OF_RULE.get(rule or by_name or ""),
            excluded=excluded,
            declared=marked_keys(parameter.annotation),
            off=off,
            rules_off=tuple(sorted(rules_off)),
        )

    @property
    def any_rule(self) -> str | None:
        """A rule that redacts values of the parameter, None without one."""
        marked = (each.rule for each in self.declared.values())
        return self.rule or self.name_rule or next(marked, None)

    def walked(self, walk: Walk, value: object) -> object:
        """Return the copy of *value*, a value of this parameter."""
        self.apply(walk)
        if self.rule is not None and self.rule not in walk.off:
            return walk.redact(self.rule, value, self.category)
        if self.name_rule is not None and self.name_rule not in walk.off and not is_harmless(value):
            return walk.redact(self.name_rule, value, self.category)
        return walk.value(value, 1)

    def apply(self, walk: Walk) -> None:
        """Set the rules of this parameter in *walk*."""
        walk.turn_off(self.off)
        walk.exclude(self.excluded)
        walk.declared = self.declared

    @property
    def encoded_default(self) -> object:
        """The encoded default of the fast path; `UNSET` if a call may change it.

        For a redacted parameter it is the default itself, whose texts are collected.
        """
        if self.rule is not None or self.name_rule is not None:
            return UNSET if self.default is MISSING else self.default
        if self.kind == _VAR_POSITIONAL:
            return Raw(b"[]")
        if self.kind == _VAR_KEYWORD:
            return Raw(b"{}")
        if self.default is MISSING:
            return UNSET
        if all_plain((self.default,)):
            return self.default
        walk = Walk(_MAX_DEFAULT_CHARS)
        copy = self.walked(walk, self.default)
        # A call may change a list, and each use of a marker is counted.
        is_scalar = reader_of(type(self.default)).kind is ValueKind.SCALAR
        fixed = is_scalar and not walk.counts and not walk.exceeded
        return Raw(encode(copy)) if fixed else UNSET


@memoized
def marked_keys(annotation: object) -> Mapping[str, MarkedKey]:
    """Return the marked and hidden fields in an annotation's classes, by name.

    A TypedDict, or a dict in place of a model, has no class at run time: its keys are redacted by
    these names. The classes in the annotations of the fields count too.
    """
    marked: dict[str, MarkedKey] = {}
    seen: set[int] = set()
    pending = list(resolved_info(annotation).parts)
    while pending and len(seen) < MAX_CLASSES:
        part = pending.pop()
        if not is_class(part) or id(part) in seen:
            continue
        seen.add(id(part))
        infos = attempt(partial(annotated_fields_of, part))
        for class_field, info in () if isinstance(infos, Exception) else infos:
            rule = rule_of(info) or class_field.hidden
            if rule is not None and name_rule(class_field.name) is None:
                category = category_of(info, class_field.name)
                marked.setdefault(class_field.name, MarkedKey(rule, category))
            pending.extend(info.parts)
    return marked


class Plan:
    """The capture plan of one callable.

    Attributes:
        result_plan: The plan of the result, and of the items of a stream.
        error_rule: The rule that redacts the message of every error, else None. Marks and types
            of the result do not concern errors.
        redacted: Rules by which the declaration redacts every value of a parameter, by its name.
        rules_off: Rules that `capture=` turns off, by parameter and `return`; under "" those that
            are off for all of them.
        excludes: Data categories that the parameters are declared not to hold, without those whose
            rules are off.
        open_ended: Keywords that no parameter takes are recorded next to the parameters. The rules
            of their names apply to them, and not the rule of the declaration.
    """

    open_ended: ClassVar[bool] = False

    def __init__(
        self,
        signature: SignatureInfo,
        *,
        params_rule: str | None = None,
        result_rule: str | None = None,
        params_excluded: frozenset[str] = frozenset(),
        result_excluded: frozenset[str] = frozenset(),
        keep: Mapping[str, CaptureOption] | None = None,
    ) -> None:
        """Prepare everything that does not depend on a call.

        Args:
            params_rule: The rule by which the declaration redacts every parameter.
            params_excluded: Data categories that the parameters are declared not to hold.
        """
        params = Direction.of(params_rule, params_excluded, keep or {})
        result = Direction.of(result_rule, result_excluded, keep or {})
        parameters = tuple(ParameterPlan.of(each, params) for each in signature.parameters)
        self._parameters = parameters
        self.excludes = _without_off(params_excluded, params.off)
        self.result_plan = _result_plan(signature.returns, signature.returns_category, result)
        self.error_rule = self.result_plan.declared_rule
        self.redacted = {each.name: each.rule for each in parameters if each.rule is not None}
        self.rules_off = {
            "": tuple(sorted(params.off)),
            RETURN: self.result_plan.rules_off,
            **{each.name: each.rules_off for each in parameters},
        }
        # Arguments that do not fit the signature. One may be a second value of a parameter, and is
        # redacted like the first.
        self._surplus = ParameterPlan(
            name="",
            kind=_VAR_KEYWORD,
            rule=params_rule,
            excluded=params_excluded,
            declared={
                each.name: MarkedKey(each.rule, each.category)
                for each in parameters
                if each.rule is not None
            },
            off=params.off,
        )
        direction = Direction(excluded=params_excluded, off=params.off)
        self._next_to_params = direction if self.open_ended else None
        self._fields: dict[str, ParameterPlan] = {}
        by_name = {each.name: each for each in parameters}
        # Only a walk judges `value` by `name`, as in `set_header(name=, value=)`.
        self._by_name = by_name
        self._labelled = None if by_name.keys().isdisjoint(LABELS) else by_name.get("value")
        self._read_names(signature)

    def _read_names(self, signature: SignatureInfo) -> None:
        """Read which arguments belong to which parameters."""
        parameters = self._parameters
        self._names = signature.names
        self._skipped = signature.skipped
        by_kind = {each.kind: each.name for each in parameters}
        self._var_positional = by_kind.get(_VAR_POSITIONAL)
        self._var_keyword = by_kind.get(_VAR_KEYWORD)
        # A skipped `*args` or `**kwargs` cannot be distinguished from a skipped keyword.
        self._drops_surplus = len(signature.skipped) > signature.names.count(None)
        self._by_keyword = frozenset(each.name for each in parameters if each.kind in _BY_KEYWORD)
        # Under a decorator that moves arguments, each of them may be the one to redact.
        rules = (each.any_rule for each in parameters if each.kind <= _VAR_POSITIONAL)
        self._unsure_rule = None if signature.positions_known else next(filter(None, rules), None)

    def params(self, args: tuple[object, ...], kwargs: Mapping[str, object], rules: Rules) -> bytes:
        """Return the payload of a call, before the call is made.

        Returns:
            A JSON object in UTF-8: one key for each parameter of the schema that has a value.
        """
        return rules.encode_payload(lambda walk: self._call_payload(walk, args, kwargs))

    def result(self, value: Any, rules: Rules) -> bytes:
        """Return the result of a call.

        Returns:
            A JSON object in UTF-8: the value itself if it is like a mapping (a dict, a model, a
            dataclass), else `{"result": value}`.
        """
        return rules.encode_payload(lambda walk: self._result_payload(walk, value))

    def excluded_from(self, name: str) -> frozenset[str]:
        """Return the data categories that are excluded from the values of the parameter *name*."""
        parameter = self._by_name.get(name)
        return self.excludes if parameter is None else parameter.excluded

    def _call_payload(
        self, walk: Walk, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> dict[str, object]:
        """Return the payload of a call, which need not fit the signature."""
        unsure_rule = self._unsure_rule if args else None
        arguments, surplus = self._by_parameter(args if unsure_rule is None else (), kwargs)
        # The parameters that may have received positional arguments.
        unsure = (
            _NONE
            if unsure_rule is None
            else frozenset(
                each.name
                for each in self._parameters
                if each.kind == _VAR_POSITIONAL
                or (each.kind < _VAR_POSITIONAL and each.name not in arguments)
            )
        )
        values: list[tuple[ParameterPlan, object]] = []
        names: list[str] = []
        if self._next_to_params is not None:
            # First, because the collector reads names from the beginning of a payload.
            for key, value in cast("dict[str, object]", surplus.pop(SURPLUS_KEYWORDS, {})).items():
                names.append(key)
                values.append((self._field(key, self._next_to_params), value))
        for each in self._parameters:
            if each.name in arguments or each.name in unsure or each.default is not MISSING:
                names.append(each.name)
                values.append((each, arguments.get(each.name, each.default)))
        for key, value in surplus.items():
            names.append(key)
            values.append((self._surplus, value))
        out: dict[str, object] = {**dict.fromkeys(names)}
        for place in walk.in_turn([value for _, value in values]):
            each, value = values[place]
            out[names[place]] = (
                walk.redact(unsure_rule, args)
                if unsure_rule is not None and each.name in unsure
                else each.walked(walk, value)
            )
        if self._labelled is not None:
            self._labelled.apply(walk)
            walk.hide_labelled(out)
        return out

    def _field(self, key: str, direction: Direction) -> ParameterPlan:
        """Return the plan of a field next to the parameters; adapters use few names."""
        plan = self._fields.get(key)
        if plan is None:
            plan = ParameterPlan.of(Parameter(key, _VAR_KEYWORD, object, MISSING, None), direction)
            if len(self._fields) < MAX_FLAT_KEYS:
                self._fields[key] = plan
        return plan

    def _by_parameter(
        self, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[dict[str, object], dict[str, object]]:
        """Return the arguments by parameter, and those that do not fit the signature."""
        arguments: dict[str, object] = {
            name: value for name, value in zip(self._names, args, strict=False) if name is not None
        }
        surplus: dict[str, object] = {}
        # A list: a tuple of two would be redacted as a pair of name and value.
        extra_args = list(args[len(self._names) :])
        if self._var_positional is not None:
            arguments[self._var_positional] = extra_args
        elif extra_args and not self._drops_surplus:
            surplus[SURPLUS] = extra_args
        extra_keywords: dict[str, object] = {}
        for key, value in kwargs.items():
            name = key if type(key) is str else str(text(key))
            if name in self._by_keyword and name not in arguments:
                arguments[name] = value
            elif name not in self._skipped:
                extra_keywords[name] = value
        if self._var_keyword is not None:
            arguments[self._var_keyword] = extra_keywords
        elif extra_keywords and not self._drops_surplus:
            surplus[SURPLUS_KEYWORDS] = extra_keywords
        return arguments, surplus

    def _result_payload(self, walk: Walk, value: object) -> object:
        self.result_plan.apply(walk)
        rule = None if self.result_plan.rule in walk.off else self.result_plan.rule
        category, inner = self.result_plan.category, value
        reader = reader_of(type(inner))
        for _ in range(MAX_INNER):
            if reader.kind is not ValueKind.UNWRAP:
                break
            inner = reader.plain(inner)
            inside = None if rule is not None else walk.rule_inside(reader, inner)
            if inside is not None:
                rule, category = inside, walk.category_of(reader.fields[0])
            reader = reader_of(type(inner))
        if reader.kind is ValueKind.FIELDS and rule is not None:
            walk.collect(inner, category)
            return {each.name: walk.redact(rule, None) for each in reader.fields}
        if reader.kind in {ValueKind.MAPPING, ValueKind.FIELDS} or reader.is_iterator:
            # The keys of a dict are data as well: all of it is redacted, not only the values. The
            # schema of an iterator has `items` instead of `result`; its marker replaces them all.
            return walk.value(inner, 0) if rule is None else walk.redact(rule, inner, category)
        shown = walk.value(value, 1) if rule is None else walk.redact(rule, value, category)
        return {"result": shown}


def _result_plan(annotation: object, category: str | None, result: Direction) -> ParameterPlan:
    parameter = Parameter(RETURN, _POSITIONAL_ONLY, annotation, MISSING, category)
    return ParameterPlan.of(parameter, result)
