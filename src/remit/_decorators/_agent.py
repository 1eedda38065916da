"""`@remit.agent`: the function that answers; its runs are what the server keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar, overload

from msgspec import Struct

from remit import _runtime
from remit._decorators._declare import (
    StepOptions,
    check_texts,
    declare,
    explicit_name,
    place_of,
)
from remit._decorators._doors import AgentDoor, step_of
from remit._decorators._holders import holder_of, misplaced
from remit._decorators._targets import CALLS, Target, target_of
from remit._decorators._wrappers import Agent, AgentObject, Way
from remit._registry import AgentType
from remit.errors import DeclarationError
from remit.models.data_risk import DataRisk

P = ParamSpec("P")
R = TypeVar("R")


@overload
def agent(name: Callable[P, R]) -> Agent[P, R]: ...
@overload
def agent(
    name: str,
    *,
    version: str | None = None,
    description: str | None = None,
    agent_id: str | None = None,
    environment_id: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    span_types: Sequence[object] = (),
    quality: Mapping[str, object] | None = None,
) -> Callable[[Callable[P, R]], Agent[P, R]]: ...
@overload
def agent(
    name: None = None,
    *,
    version: str | None = None,
    description: str | None = None,
    agent_id: str | None = None,
    environment_id: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    span_types: Sequence[object] = (),
    quality: Mapping[str, object] | None = None,
) -> Callable[[Callable[P, R]], Agent[P, R]]: ...
def agent(  # noqa: PLR0913 - the frozen signature
    name: object = None,
    *,
    version: str | None = None,
    description: str | None = None,
    agent_id: str | None = None,
    environment_id: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    span_types: Sequence[object] = (),
    quality: Mapping[str, object] | None = None,
) -> object:
    """Declare the function that answers; each run of it is one agent instance.

    The decorated function is still the function, and has `.run(...)` and `.registration()`.

    Args:
        name: Display name; made from the function's name without one.
        version: External identifier of the agent's version; the schema's hash without one.
        description: The docstring without one.
        agent_id: Id of the agent on the server; wins over the setting.
        environment_id: Id of the environment on the server.
        data_risk: The agent's remit, a ceiling: no step of its runs may exceed it.
        span_types: More span types of this agent than those of its own top-level package:
            functions, modules, or prefixes of names.
        quality: Models or JSON Schemas of `record_quality` payloads, by name.

    Returns:
        The agent, or a decorator that makes it.

    Raises:
        DeclarationError: Names the function, what was wrong and what is allowed.
    """
    if isinstance(span_types, str) or not isinstance(span_types, Sequence):
        raise DeclarationError(
            f"@remit.agent(span_types=...) is of type {type(span_types).__name__}; expected a list "
            "of functions, modules or prefixes of names"
        )
    options = AgentOptions(
        version, description, agent_id, environment_id, data_risk, tuple(span_types), quality
    )
    if name is None or isinstance(name, str):
        return partial(_decorate, explicit_name(name, "agent"), options)
    return _decorate(None, options, name)


class AgentOptions(Struct, frozen=True):
    """What `@remit.agent` was given beside the name."""

    version: str | None
    description: str | None
    agent_id: str | None
    environment_id: str | None
    data_risk: DataRisk | Mapping[str, object] | None
    span_types: tuple[object, ...]
    quality: Mapping[str, object] | None


def _decorate(
    name: str | None,
    options: AgentOptions,
    given: object,
    *,
    receiver: bool | None = None,
    declared_in: str | None = None,
) -> object:
    holder = holder_of(given, "agent")
    if holder is not None and not holder.is_called:
        raise misplaced("agent", holder.above)
    if holder is not None:
        return holder.put(_decorate(name, options, holder.inner, receiver=holder.receiver))
    target = target_of(given, "agent", receiver=receiver)
    declared = _declare(target, name, options, declared_in)
    _runtime.registry().add_agent(declared)
    own = declared.span_type
    door = AgentDoor(step_of(own, declared), declared, receiver=target.receiver)
    home = own.declared_in
    again = partial(_decorate, name, options, receiver=receiver, declared_in=home)
    way = Way(CALLS[target.kind](door), target.bind, again, target.receiver)
    agent_class: type[Any] = AgentObject if target.is_object else Agent
    made: Agent[..., object] = agent_class(target.wrapped, way, door.block, door.registration)
    return made


def _declare(
    target: Target, name: str | None, options: AgentOptions, declared_in: str | None
) -> AgentType:
    step = StepOptions(data_risk=options.data_risk, description=options.description)
    own = declare(target, None, step, "agent", declared_in=declared_in)
    where = place_of(target, "agent")
    check_texts(
        where,
        version=options.version,
        agent_id=options.agent_id,
        environment_id=options.environment_id,
    )
    if options.quality is not None and not isinstance(options.quality, Mapping):
        raise DeclarationError(
            f"{where}: quality is of type {type(options.quality).__name__}; expected a mapping of "
            "names to models or JSON Schemas"
        )
    return AgentType(
        own,
        explicit_name=name,
        version=options.version,
        agent_id=options.agent_id,
        environment_id=options.environment_id,
        span_types=options.span_types,
        quality=options.quality or {},
    )
