"""The registry: what was declared in this process. It remembers; `_registration` composes."""

from __future__ import annotations

import threading
from typing import ClassVar

from remit._registry._declared import AgentType, SpanType
from remit._registry._names import LOSS_TYPE, RUN_TYPE
from remit.errors import DeclarationError


class Registry:
    """The declarations of one process, in whatever order its modules are imported.

    Attributes:
        version: Grows with every change: what was composed before may be out of date.
    """

    # One for all: whoever is forked while a thread is in one takes a new one, for copies too.
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        """Start with nothing declared."""
        self.version = 0
        self._span_types: dict[str, SpanType] = {}
        self._agents: dict[str, AgentType] = {}
        # Declared span types of other packages that were used in an agent's runs.
        self._used: dict[str, set[str]] = {}

    def add_span_type(self, declared: SpanType) -> None:
        """Remember a span type; one declared again replaces the earlier.

        Raises:
            DeclarationError: The name is remit's own, or means another function already.
        """
        if declared.name in {RUN_TYPE, LOSS_TYPE}:
            raise DeclarationError(
                f"{declared.qualname} ({declared.place}) has the name {declared.name!r}, which is "
                "remit's own; give it another"
            )
        with self._lock:
            known = self._span_types.get(declared.name)
            if known is not None and not declared.replaces(known):
                raise DeclarationError(
                    f"two functions have the name {declared.name!r}: {known.qualname} "
                    f"({known.place}) and {declared.qualname} ({declared.place}); "
                    "give each its own"
                )
            self._span_types[declared.name] = declared
            self.version += known is None or not declared.repeats(known)

    def add_agent(self, declared: AgentType) -> None:
        """Remember an agent and the span type of its calls; one declared again replaces it.

        Raises:
            DeclarationError: The name of its span type means another function already, or its
                `span_types` holds a function that is no span type.
        """
        for selector in declared.selected_functions():
            if not any(each.is_of(selector) for each in self.span_types()):
                name = getattr(selector, "__qualname__", repr(selector))
                raise DeclarationError(
                    f"@remit.agent on {declared.place}: span_types holds the function {name}, "
                    "which is no span type; decorate it with @remit.span_type first"
                )
        self.add_span_type(declared.span_type)
        with self._lock:
            known = self._agents.get(declared.external_identifier)
            self._agents[declared.external_identifier] = declared
            self.version += known is None or not declared.repeats(known)

    def seen(self, name: str, agent: str) -> bool:
        """Remember that a span in a run of *agent* was of this type.

        The registrations of the agent's later runs include the type if it is declared. Names that
        only blocks of `remit.span` have are not included, so that the same source registers the
        same payload whatever ran before.

        Args:
            name: The span type.
            agent: External identifier of the agent.

        Returns:
            Whether this call adds the type to the registration.
        """
        declared, owner = self._span_types.get(name), self._agents.get(agent)
        if declared is None or owner is None or owner.selects(declared):
            return False
        with self._lock:
            used = self._used.setdefault(agent, set())
            if name in used:
                return False
            used.add(name)
            self.version += 1
        return True

    def span_types_of(self, agent: AgentType) -> tuple[SpanType, ...]:
        """Return the declared span types of *agent*, sorted by name.

        Those of its own top-level package, those that its `span_types` name, and those that
        spans of its runs had.
        """
        with self._lock:
            declared = list(self._span_types.values())
            used = frozenset(self._used.get(agent.external_identifier, ()))
        chosen = {each.name: each for each in declared if agent.selects(each) or each.name in used}
        chosen.setdefault(agent.span_type.name, agent.span_type)
        return tuple(chosen[name] for name in sorted(chosen))

    def agents(self) -> tuple[AgentType, ...]:
        """Return the agents, sorted by their identifier."""
        with self._lock:
            return tuple(self._agents[each] for each in sorted(self._agents))

    def span_type(self, name: str) -> SpanType | None:
        """Return the span type that is declared under *name*."""
        return self._span_types.get(name)

    def span_types(self) -> tuple[SpanType, ...]:
        """Return every declared span type, sorted by name."""
        with self._lock:
            return tuple(self._span_types[each] for each in sorted(self._span_types))

    def copy(self) -> Registry:
        """Return a registry of the same declarations, to change apart from this one."""
        other = Registry()
        with self._lock:
            other.version = self.version
            other._span_types.update(self._span_types)
            other._agents.update(self._agents)
            other._used.update({agent: set(names) for agent, names in self._used.items()})
        return other

    def after_fork_in_child(self) -> None:
        """Take a new lock: a thread that is gone may have held the inherited one."""
        Registry._lock = threading.Lock()
