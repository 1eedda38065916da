"""Declares the steps and agents of frameworks, which have no function of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, cast, get_args
from weakref import WeakKeyDictionary

from remit._base.frames import caller
from remit._base.guard import guarded, logger
from remit._base.text import describe_value
from remit._base.version import add_adapter
from remit._declare.limits import check_limits
from remit._declare.registry import (
    AgentType,
    Registry,
    SpanType,
    StepKind,
    module_of_caller,
)
from remit._declare.risk import check_asks_nothing, coerce, redacting
from remit._decorators.agent import AgentRuns
from remit._decorators.checks import check_texts, checked_name
from remit._decorators.span_type import recorder_of
from remit._inspect.introspection import layers
from remit._inspect.signature import CallKind
from remit._policy.limits import Ceiling
from remit._policy.maxima import Limits
from remit._record.runs import contributed_interrupts
from remit._record.spans import BlockPlan, SpanRecorder
from remit._runtime import process
from remit.errors import DeclarationError
from remit.models.data_risk import DataRisk

INPUTS: Final = "inputs"
"""Name of the one parameter of a step without a function."""

DEFINITIONS: Final = "$defs"
"""Key of the types that a JSON Schema refers to."""


UNKNOWN_PLACE: Final = "<unknown>:0"


def declare(  # noqa: PLR0913 - the arguments of a decorator
    name: str,
    kind: StepKind = "step",
    *,
    params: object = None,
    result: object = None,
    title: str | None = None,
    description: str | None = None,
    template: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    place: str | None = None,
) -> SpanRecorder:
    """Declare a step without a function.

    The registrations of all agents include it. The name is `<adapter>:<step>`. A declaration with
    the same content returns the same recorder; another one of the name is a separate declaration,
    and replaces the earlier one in registrations. What is declared while a module is imported
    stays, also after `remit.testing.isolated`.

    Args:
        kind: A model, agent or retriever has no effect, so its unknown words are no violation.
        params: Type or JSON Schema of `inputs` in the payload.
        result: Type or JSON Schema of the result.
        title: As in `remit.span_type`, like the next three.
        place: File and line that messages name; by default those of the caller.

    Raises:
        DeclarationError: The name is reserved or a function's, or an argument is wrong.
    """
    checked_name(name, "declare")
    where = f"the step {name}"
    if kind not in get_args(StepKind):
        raise DeclarationError(
            f"{where}: kind is {describe_value(kind)}; expected one of "
            f"{', '.join(get_args(StepKind))}"
        )
    risk = coerce(data_risk, where)
    check_asks_nothing(risk, where)
    declared_at = place or caller() or UNKNOWN_PLACE

    def make() -> SpanType:
        def step(inputs: object) -> object: ...

        _place_at(step, declared_at)
        schema: dict[str, object] | None = None
        if not params or isinstance(params, Mapping):
            schema = _schema_of(cast("Mapping[str, object]", params or {}))
        else:
            step.__annotations__[INPUTS] = params
        return SpanType(
            step,
            kind=CallKind.FUNCTION,
            skip_first=False,
            explicit_name=name,
            data_risk=risk,
            title=title or name,
            description=description,
            template=template,
            params=schema,
            result=result,
            of_adapter="step",
            step_kind=kind,
        )

    registry = process.registry()
    before = registry.span_type(name)
    content = (
        name, kind, title, description, template, *map(_comparable, (params, result, risk))
    )  # fmt: skip
    declared = registry.add_of_adapter(content, make, lasting=_in_module_body())
    is_new = declared is not before and declared is registry.span_type(name)
    if before is not None and is_new and before.place != declared.place:
        logger.warning(
            "%s is declared differently at %s and at %s; each tool uses its own declaration, and "
            "registrations contain the last one",
            name,
            before.place,
            declared.place,
        )
    return _recorder_of(declared)


def _schema_of(params: Mapping[str, object]) -> dict[str, object]:
    """Return the schema of a payload whose `inputs` are *params*, with its definitions outside.

    A reference in a schema is relative to the whole of it.
    """
    inputs = {key: value for key, value in params.items() if key != DEFINITIONS}
    schema: dict[str, object] = {"type": "object", "properties": {INPUTS: inputs}}
    definitions = params.get(DEFINITIONS)
    return schema if definitions is None else {**schema, DEFINITIONS: definitions}


def _comparable(value: object) -> Hashable:
    """Return a value that is equal for equal types, JSON Schemas and data risks."""
    if isinstance(value, DataRisk):
        return value.model_dump_json()
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, default=repr)
    return value if type(value).__hash__ is not None else id(value)


def _in_module_body() -> bool:
    """Return whether the caller of the caller is the body of a module, which is being imported."""
    return sys._getframe(2).f_code.co_name == "<module>"  # noqa: SLF001 - documented


_recorders: Final[WeakKeyDictionary[SpanType, SpanRecorder]] = WeakKeyDictionary()
_agents: Final[WeakKeyDictionary[AgentType, AgentRuns]] = WeakKeyDictionary()


def _recorder_of(declared: SpanType) -> SpanRecorder:
    recorder = _recorders.get(declared)
    if recorder is None:
        recorder = _recorders[declared] = recorder_of(declared)
    return recorder


def _place_at(function: Any, place: str) -> None:
    """Give *function* the place of the adapter's declaration, which messages name."""
    file, _, line = place.rpartition(":")
    code = {"co_filename": file, "co_firstlineno": int(line)} if line.isdigit() else {}
    function.__code__ = function.__code__.replace(**code)


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """Identifies the agents of one object of an integration, such as a callback handler.

    A named agent is identified by the framework and its name. An unnamed agent is identified by the
    module that made the object, because the unnamed agents of all programs have the same name.

    Attributes:
        framework: The prefix of the identifiers of named agents: `langchain` for
            `langchain.agents:desk`.
        unnamed: The name that the framework gives to an agent without a name; "" if all agents
            have names.
        module: The module that made the object.
        place: File and line of the call that made the object.
        agent_id: As in `remit.agent`, like the next one.
    """

    framework: str
    unnamed: str
    module: str
    place: str
    agent_id: str | None = None
    external_identifier: str | None = None

    @classmethod
    def of_caller(
        cls,
        framework: str,
        unnamed: str = "",
        *,
        where: str,
        agent_id: str | None = None,
        external_identifier: str | None = None,
    ) -> Self:
        """Return the identity for an object that the caller of remit makes.

        Raises:
            DeclarationError: An identifier is not a text. The message begins with *where*.
        """
        check_texts(where, agent_id=agent_id, external_identifier=external_identifier)
        place = caller() or UNKNOWN_PLACE
        return cls(framework, unnamed, module_of_caller(), place, agent_id, external_identifier)

    def of(self, name: str) -> str:
        """Return the identifier of the agent *name* in this process."""
        if name == self.unnamed:
            return f"{self.module}:{name}"
        return f"{self.framework}.agents:{name}"


def declare_agent(  # noqa: PLR0913 - the arguments of a decorator
    identifier: str,
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    limits: Limits | None = None,
    span_types: tuple[object, ...] = (),
    identity: AgentIdentity | None = None,
    limits_run: bool = True,
) -> AgentRuns:
    """Declare an agent without a function; the returned object opens its runs.

    An equal declaration returns the same object. *identifier* is `module:name`, by which a server
    recognises it; *identity* is that of the integration's object, by default without ids and of the
    caller's module; the other arguments are those of `remit.agent`. Without *limits_run*, the remit
    is registered, and the integration applies it to a part of the run. The registration includes
    the steps of the program that made the object.

    Raises:
        DeclarationError: The data risk or the limits are wrong.
    """
    where = f"the agent {identifier}"
    risk, numbers = coerce(data_risk, where), check_limits(limits, where)
    identity = identity or AgentIdentity.of_caller("", where=identifier)

    def make() -> AgentType:
        def answer(inputs: object) -> object: ...

        _place_at(answer, identity.place)
        answer.__module__, _, answer.__qualname__ = identifier.rpartition(":")
        span_type = SpanType(
            answer,
            kind=CallKind.FUNCTION,
            skip_first=False,
            explicit_name=identifier,
            data_risk=risk,
            description=description,
            declared_in=identity.module,
            limits=numbers,
            of_adapter="agent",
        )
        return AgentType(
            span_type,
            explicit_name=name,
            version=version,
            agent_id=identity.agent_id,
            given_identifier=identity.external_identifier,
            span_types=span_types,
        )

    ids = (identity.module, identity.agent_id, identity.external_identifier)
    content = (
        identifier, *ids, name, description, version, _comparable(risk), numbers, span_types,
        limits_run,
    )  # fmt: skip
    declared = process.registry().add_of_adapter(content, make, lasting=_in_module_body())
    runs = _agents.get(declared)
    if runs is None:
        runs = _agents[declared] = AgentRuns(declared, limits_run=limits_run)
    return runs


def agent_of(
    identity: AgentIdentity, name: str, remit: DataRisk | None, unknown: AgentRuns
) -> tuple[AgentRuns, Ceiling | None]:
    """Declare an agent of a framework; return the opener of its runs, and its limits.

    After a fault, its runs are those of the agent *unknown*, and its limits apply.
    """
    runs = _declared_agent(identity, name, remit)
    if runs is not None:
        return runs, runs.ceiling
    return unknown, ceiling_of(identity.of(name), remit, identity.place)


@guarded("the declaration of an agent")
def _declared_agent(identity: AgentIdentity, name: str, remit: DataRisk | None) -> AgentRuns:
    return declare_agent(identity.of(name), name=name, data_risk=remit, identity=identity)


def ceiling_of(
    agent: str,
    data_risk: DataRisk | Mapping[str, object] | None,
    place: str | None = None,
    limits: Limits | None = None,
) -> Ceiling | None:
    """Return the ceiling of a framework's agent, for `start`; None if it has no limits.

    Raises:
        DeclarationError: The data risk or the limits are wrong.
    """
    risk, numbers = coerce(data_risk, agent), check_limits(limits, agent)
    return Ceiling.of(agent, place or caller() or UNKNOWN_PLACE, risk, numbers)


def risks_by_name(value: object, where: str, what: str = "tools") -> dict[str, Any]:
    """Return the risk declarations in an argument of an integration, by name.

    Args:
        value: The argument; None is an empty one.
        where: The argument in messages, such as `Remit: risks`.
        what: The things that have the names.

    Raises:
        DeclarationError: It is not a mapping of names to data risks.
    """
    risks = cast("Mapping[Any, Any] | None", {} if value is None else value)
    if not isinstance(risks, Mapping) or not all(isinstance(name, str) for name in risks):
        raise DeclarationError(
            f"{where} is {describe_value(value)}; expected a mapping of names of {what} to "
            "remit.risk(...)"
        )
    for name, risk in risks.items():
        ceiling_of(f"{where}[{name!r}]", risk)
    return dict(risks)


def step_of(function: object) -> SpanRecorder | None:
    """Return the recorder of a decorated function, also of one that others wrap; else None."""
    for layer in layers(function):
        recorder: SpanRecorder | None = getattr(layer, "_self_recorder", None)
        if recorder is not None:
            return recorder
    return None


def undeclared(name: str, kind: StepKind) -> SpanRecorder:
    """Return the recorder of a step that is not declared and not registered, for `judging`."""
    return SpanRecorder(name, BlockPlan, kind=kind)


def declarations() -> object:
    """Return the registry in use; `isolated` has its own."""
    return process.registry()


def add_to_header(name: str) -> None:
    """Add the adapter, such as `remit-langchain@0.1.0`, to the header of later requests.

    Raises:
        DeclarationError: The name is not one word of printable ASCII characters.
    """
    if not (name.isascii() and name.isprintable() and len(name.split()) == 1):
        raise DeclarationError(
            f"the adapter {describe_value(name)}: expected one word of ASCII characters, such as "
            "remit-langchain@0.1.0"
        )
    add_adapter(name)


def interrupts(*types: type[BaseException]) -> None:
    """Add exception types by which a framework pauses: they cancel spans and leave runs open.

    Raises:
        DeclarationError: One of them is not an exception type.
    """
    for cls in types:
        if not _is_exception_type(cls):
            raise DeclarationError(f"{describe_value(cls)} is not an exception type")
    contributed_interrupts.extend(cls for cls in types if cls not in contributed_interrupts)


def _is_exception_type(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def classified_tools() -> Mapping[str, str]:
    """Return the rules that redact the arguments of tools, by the name that a model uses."""
    registry = process.registry()
    known = _tools.get(registry)
    if known is None or known[0] != registry.version:
        by_name: dict[str, str] = {}
        for span_type in registry.span_types():
            rule = redacting(span_type.data_risk).params_rule
            if rule is not None:
                name = span_type.name.rpartition(":")[2].rpartition(".")[2]
                by_name |= {name: rule, span_type.qualname.rpartition(".")[2]: rule}
        known = _tools[registry] = (registry.version, by_name)
    return {**known[1], **_named_tools} if _named_tools else known[1]


def name_tool(recorder: SpanRecorder, name: str) -> None:
    """Note by which name models call a decorated step, as its arguments may be classified."""
    rule = redacting(recorder.find_risk()).params_rule
    if rule is not None:
        _named_tools[name] = rule


_tools: Final[WeakKeyDictionary[Registry, tuple[int, Mapping[str, str]]]] = WeakKeyDictionary()
_named_tools: Final[dict[str, str]] = {}
