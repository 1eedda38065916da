"""Declarations: span types and agents, their names, and the registry that holds them.

A name is `<module>:<qualname>` unless the author chose one. It is the same in a reload, under
`python -m`, in a script and in a spawned child, because it identifies the type in recorded history.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Final, Generic, Literal, TypeAlias, TypeVar, cast

from remit._base.frames import MAIN, NOTEBOOK, imported_as, names_of_caller, source_root
from remit._base.guard import attempt
from remit._base.locks import SignalSafeLock
from remit._base.outcomes import ASKED_SPAN
from remit._declare.project import Project, identified, project_at
from remit._inspect.docstrings import docstring, escape_surrogates, summary
from remit._inspect.introspection import layers, unwrapped
from remit._inspect.overrides import CaptureOption, overridden
from remit._inspect.signature import CallKind, SignatureInfo, read
from remit._policy.maxima import Limits
from remit.errors import DeclarationError
from remit.models.data_risk import DataRisk

T = TypeVar("T")

RUN_TYPE: Final = "remit:run"
"""Type of each run's root span."""

LOSS_TYPE: Final = "remit:loss"
"""Type of the spans that report losses."""

ASKED_TYPE: Final = ASKED_SPAN
"""Type of the spans that record a question to a person."""

ANSWERED_TYPE: Final = "remit:answered"
"""Type of the spans that record the answer to a question."""

OWN_TYPES: Final = frozenset({RUN_TYPE, LOSS_TYPE, ASKED_TYPE, ANSWERED_TYPE})
"""The span types of remit itself, which are no steps."""

StepKind: TypeAlias = Literal["agent", "llm", "tool", "retriever", "step"]
"""Kind of a step, which only adapters set; all other steps are `step`."""

UNKNOWN_FILE: Final = "<unknown>"
"""File of a function without Python code."""


def module_name(function: Callable[..., object]) -> str:
    """Return the module of *function*, by the name that it would be imported under."""
    module = getattr(function, "__module__", None)
    if not isinstance(module, str) or not module:  # a method of a built-in type names none
        owner = getattr(function, "__objclass__", None) or getattr(function, "__self__", None)
        home = owner if isinstance(owner, type) else type(owner)
        module = NOTEBOOK if owner is None else home.__module__
    # From the function: a spawned child has these names before it has the module.
    names = _names_of(function)
    if not names and module in sys.modules:
        names = vars(sys.modules[module])
    return imported_as(escape_surrogates(module), names)


def _names_of(function: Callable[..., object]) -> dict[str, Any]:
    # An object may return something for every attribute.
    names = getattr(function, "__globals__", None)
    return cast("dict[str, Any]", names) if isinstance(names, dict) else {}


def module_of_caller() -> str:
    """Return the module of the code that called remit, as `module_name`."""
    names = names_of_caller()
    return imported_as(str(names.get("__name__")), names)


def qualname(function: Callable[..., object]) -> str:
    """Return the qualified name of *function*; of its class, if it is an object."""
    name = getattr(function, "__qualname__", None)
    return escape_surrogates(name if isinstance(name, str) else type(function).__qualname__)


def default_name(function: Callable[..., object]) -> str:
    """Return `<module>:<qualname>`, the name of a declaration without a chosen name."""
    return f"{module_name(function)}:{qualname(function)}"


def display_name(qualname: str) -> str:
    """Return a readable name of a function: `Find order` for `Store.find_order`."""
    words = qualname.rpartition(".")[2].strip("_<>").replace("_", " ")
    return words[:1].upper() + words[1:]


class _Cached(Generic[T]):
    """An attribute that is computed at its first use.

    `functools.cached_property` holds a lock before Python 3.12, which a forked child may inherit.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, instance: object, owner: type) -> T:
        value = vars(instance)[self._compute.__name__] = self._compute(instance)
        return value


@dataclass(frozen=True, eq=False)
class SpanType:
    """One declared span type.

    Attributes:
        function: The callable whose signature is read.
        skip_first: Arguments of a call do not include the first parameter (`self`, `cls`). A
            function, called at the first use, if this is not known when it is declared.
        explicit_name: The name that the author chose, else None.
        title: Title for people, if the author gave one.
        params: Model or JSON Schema in place of the signature's, or None.
        capture: The option `capture=`, by parameter, `return` and rule.
        declared_in: The module where it was decorated, which differs for a library's function; ""
            if it is not known.
        of_adapter: Whether an adapter declares it, for a step or an agent that is in none of the
            program's modules. The registrations of all agents include such a step.
        owner: The person or team that is responsible for it, if it is an agent.
        limits: How many steps of one run may take an action, if it is an agent.
        step_kind: The kind of the step, if an adapter declares it.
        name: The name in spans: `<module>:<qualname>` unless the author chose a name.
        module: The module, by the name that it would be imported under.
        body: The function inside decorators, partials and objects.
        line: The line of the function, from one; 0 if it is not known.
        module_spec: The `__spec__` of its module when it was declared; a reload replaces it.
    """

    function: Callable[..., object] = field(compare=False)
    _: KW_ONLY
    kind: CallKind
    skip_first: bool | Callable[[], bool] = field(compare=False)
    named_after: Callable[..., object] | None = field(default=None, compare=False)
    explicit_name: str | None = None
    data_risk: DataRisk | None = None
    title: str | None = None
    description: str | None = None
    template: str | None = None
    owner: str | None = None
    limits: Limits | None = None
    params: object = None
    result: object = None
    capture: Mapping[str, CaptureOption] = field(default_factory=dict[str, CaptureOption])
    declared_in: str = ""
    of_adapter: Literal["", "step", "agent"] = ""
    step_kind: StepKind = "step"
    name: str = field(init=False, compare=False)
    module: str = field(init=False, compare=False)
    qualname: str = field(init=False, compare=False)
    body: Callable[..., object] = field(init=False, compare=False)
    file: str = field(init=False, compare=False)
    line: int = field(init=False, compare=False)
    module_spec: object = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        body = unwrapped(self.function)
        module, name = module_name(self.named_after or body), qualname(self.named_after or body)
        code = getattr(body, "__code__", None)
        vars(self).update(
            name=self.explicit_name or f"{module}:{name}",
            module=module,
            qualname=name,
            body=body,
            file=str(getattr(code, "co_filename", UNKNOWN_FILE)),
            line=int(getattr(code, "co_firstlineno", 0)),
            module_spec=_names_of(body).get("__spec__"),
        )

    @_Cached
    def doc(self) -> str | None:
        """The docstring of the function, else that of the object's class."""
        return docstring(self.body) or docstring(self.named_after or self.body)

    @_Cached
    def declared_signature(self) -> SignatureInfo:
        """The signature, read at the first use, when the names in it exist."""
        skip = self.skip_first
        return read(self.function, skip_first=skip() if callable(skip) else skip)

    @_Cached
    def recorded_signature(self) -> SignatureInfo:
        """The signature with the types of `params` and `result`, which is recorded."""
        streams = self.kind in {CallKind.GENERATOR, CallKind.ASYNC_GENERATOR}
        return overridden(
            self.declared_signature, streams=streams, params=self.params, result=self.result
        )

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.file}:{self.line}"

    @_Cached
    def source_roots(self) -> frozenset[str]:
        """The source roots of the modules where the function is defined and decorated."""
        homes = (
            ((self.declared_in, self.file),)
            if self.of_adapter  # its file is that of the call of the integration
            else ((self.declared_in, UNKNOWN_FILE), (self.module, self.file))
        )
        roots = [attempt(partial(_source_root, *home)) for home in homes]
        # Without symbolic links: Python follows them in the path of a script, not in `__file__`.
        # An exception says that the current folder is gone.
        return frozenset(os.path.realpath(root) for root in roots if isinstance(root, str))

    @property
    def prefix(self) -> str:
        """A member of `span_types` that selects it: its package, its module, or its own name."""
        top, dot, _ = self.module.partition(".")
        prefix = f"{top}{dot or ':'}"
        return prefix if self.name.startswith(prefix) else self.name

    def is_within(self, module: str) -> bool:
        """Return whether the function is defined or decorated in *module* or a submodule."""
        homes = (self.module, self.declared_in)
        return any(f"{home}.".startswith(f"{module}.") for home in homes)

    def is_of(self, function: object) -> bool:
        """Return whether this is the span type of *function* or of a function that it wraps."""
        return any(layer is self.function or layer is self.body for layer in layers(function))

    def replaces(self, other: SpanType) -> bool:
        """Return whether this declares *other* again: a reload, a factory, a cell run again."""
        if all(getattr(each.body, "__module__", None) in MAIN for each in (self, other)):
            return True
        if self.of_adapter and other.of_adapter:
            return True
        if not (self.explicit_name or other.explicit_name):
            return True
        return self.file == other.file and (
            0 < self.line == other.line or self.qualname == other.qualname
        )

    def shadows(self, other: SpanType) -> bool:
        """Return whether both are functions of one name in one file, such as getter and setter.

        Neither a reload nor a cell run again: those replace the other function. Functions inside
        functions may be declared under a condition, and do not count.
        """
        return (
            self.file == other.file
            and self.line != other.line
            and not self.file.startswith("<")
            and "<locals>" not in self.qualname
            and self.module_spec is other.module_spec
            and _names_of(self.body) is _names_of(other.body)
        )

    def repeats(self, other: SpanType) -> bool:
        """Return whether this has the same registration as *other*: same code, same options.

        A function that is decorated in the body of another is declared at each call.
        """
        code = getattr(self.body, "__code__", None)
        same_code = self is other if code is None else code is getattr(other.body, "__code__", None)
        return same_code and _compared(self) == _compared(other)


@dataclass(frozen=True, eq=False)
class AgentType:
    """One declared agent.

    Attributes:
        explicit_name: The display name that the author chose, else None.
        version: External identifier of its version, if the author gave one.
        agent_id: Its id on the server, if the author gave it.
        given_identifier: Its external identifier on the wire, if the author gave it.
        span_types: Functions, modules and name prefixes whose span types are its own as well.
        quality: Models or JSON Schemas of its quality payloads, by name.

    Raises:
        DeclarationError: A member of `span_types` is neither function, module nor prefix.
    """

    span_type: SpanType = field(compare=False)
    _: KW_ONLY
    explicit_name: str | None = None
    version: str | None = None
    agent_id: str | None = None
    given_identifier: str | None = None
    environment_id: str | None = None
    span_types: tuple[object, ...] = ()
    quality: Mapping[str, object] = field(default_factory=dict[str, object])

    def __post_init__(self) -> None:
        for selector in self.span_types:
            if isinstance(selector, type) or not (
                isinstance(selector, str | ModuleType) or callable(selector)
            ):
                raise DeclarationError(
                    f"@remit.agent on {self.place}: span_types holds {selector!r}; expected "
                    "functions, modules or prefixes of names"
                )

    @_Cached
    def external_identifier(self) -> str:
        """`<module>:<qualname>`; on the wire, the project precedes it."""
        return f"{self.span_type.module}:{self.span_type.qualname}"

    @property
    def name(self) -> str:
        own = self.span_type
        return self.explicit_name or own.title or display_name(own.qualname)

    @property
    def description(self) -> str | None:
        """The description: the declared one, else the first paragraph of the docstring."""
        return self.span_type.description or summary(self.span_type.doc)

    @property
    def data_risk(self) -> DataRisk | None:
        """The agent's remit: limits of the steps of its runs."""
        return self.span_type.data_risk

    @property
    def limits(self) -> Limits | None:
        """How many steps of one run may take an action, None without a limit."""
        return self.span_type.limits

    @_Cached
    def project(self) -> Project:
        """The project of its code; for a framework's agent, of the code that declared it.

        It may take 50 ms to find, so that delivery asks for it on its own thread.
        """
        own = self.span_type
        # The file is needed after the end of a script, when `__main__` has none.
        module, file = own.declared_in if own.of_adapter else own.module, own.file
        root = attempt(lambda: _source_root(module, file))
        imported = getattr(sys.modules.get(module), "__file__", None)
        return project_at(root if isinstance(root, str) else None, str(imported or file))

    def identifier_in(self, project: str | None) -> str:
        """Return the identifier on the wire.

        Args:
            project: The project of the settings; None for that of the code.
        """
        if self.given_identifier is not None:
            return self.given_identifier
        return identified(self.external_identifier, project or self.project.name)

    @property
    def place(self) -> str:
        """Identifier, file and line, for messages."""
        return f"{self.external_identifier} ({self.span_type.place})"

    @_Cached
    def source_roots(self) -> frozenset[str]:
        """The source roots of the agent, without folders that hold installed distributions."""
        roots = self.span_type.source_roots
        return frozenset(root for root in roots if not _holds_distributions(Path(root)))

    def selects(self, span_type: SpanType) -> bool:
        """Return whether the registration of the agent includes *span_type*.

        It includes the steps of the agent's top-level package and those of adapters, but no other
        agent of a framework. It also includes what `span_types` names; if it names nothing, the
        steps of all modules that have the source root of the agent's module.
        """
        if span_type.of_adapter:
            # No span has the type of a framework's agent. A framework declares it at its first run,
            # so that it would change the registrations of the program's other agents.
            return span_type.of_adapter == "step"
        if span_type.is_within(self.span_type.module.partition(".")[0]):
            return True
        if not self.span_types:
            return not self.source_roots.isdisjoint(span_type.source_roots)
        for selector in self.span_types:
            if isinstance(selector, str):
                selected = span_type.name.startswith(selector)
            elif isinstance(selector, ModuleType):
                selected = span_type.is_within(selector.__name__)
            else:
                selected = span_type.is_of(selector)
            if selected:
                return True
        return False

    def repeats(self, other: AgentType) -> bool:
        """Return whether this has the same options as *other*; span types are not compared."""
        return _compared(self) == _compared(other)


D = TypeVar("D", SpanType, AgentType)


class Registry:
    """The declarations of one process; the order of imports does not matter.

    Attributes:
        version: Grows with every change, after which registrations may be out of date.
    """

    # Shared by all registries, so that a forked child replaces the lock of copies too.
    _lock: ClassVar[SignalSafeLock] = SignalSafeLock()

    def __init__(self, outer: Registry | None = None) -> None:
        """Start with nothing declared; *outer* gets lasting declarations too."""
        self.version = 0
        self._span_types: dict[str, SpanType] = {}
        self._agents: dict[str, AgentType] = {}
        # Declarations of adapters, by all their fields.
        self._contents: dict[Hashable, SpanType | AgentType] = {}
        self._outer = outer

    def add_span_type(self, span_type: SpanType) -> None:
        """Add a span type; a repeated declaration replaces the earlier one.

        Raises:
            DeclarationError: The name is remit's own, or means another function already.
        """
        if span_type.name in OWN_TYPES:
            raise DeclarationError(
                f"{span_type.qualname} ({span_type.place}) has the name {span_type.name!r}, "
                "which is remit's own; give it another"
            )
        with self._lock:
            known = self._span_types.get(span_type.name)
            if known is not None and not span_type.replaces(known):
                raise DeclarationError(
                    f"two functions have the name {span_type.name!r}: {known.qualname} "
                    f"({known.place}) and {span_type.qualname} ({span_type.place}); "
                    "give each its own name"
                )
            self._span_types[span_type.name] = span_type
            self.version += known is None or not span_type.repeats(known)

    def add_of_adapter(self, content: Hashable, make: Callable[[], D], *, lasting: bool) -> D:
        """Return the declaration of an adapter with this *content*; add it the first time.

        An adapter of a framework declares the same tools again for each agent that is made. Two
        tools of one name keep a declaration each; the registrations include the last new one.

        Args:
            content: All that is declared, as one value that can be compared.
            lasting: Whether the declaration is for the whole process: it is made while a module is
                imported.

        Raises:
            DeclarationError: As `add_span_type`.
        """
        declared = cast("D | None", self._contents.get(content))
        if declared is None:
            declared = make()
            if isinstance(declared, AgentType):
                self.add_agent(declared)
            else:
                self.add_span_type(declared)
            self._contents[content] = declared
        if lasting and self._outer is not None:
            self._outer.add_of_adapter(content, lambda: declared, lasting=True)
        return declared

    def add_agent(self, agent: AgentType) -> None:
        """Add an agent and its span type; a repeated declaration replaces the earlier one.

        Raises:
            DeclarationError: The name of its span type means another function already, or its
                `span_types` holds a function that is not a span type.
        """
        for selector in agent.span_types:
            if not isinstance(selector, str | ModuleType) and not any(
                span_type.is_of(selector) for span_type in self.span_types()
            ):
                name = getattr(selector, "__qualname__", repr(selector))
                raise DeclarationError(
                    f"@remit.agent on {agent.place}: span_types holds the function {name}, "
                    "which is not a span type; decorate it with @remit.span_type first"
                )
        self.add_span_type(agent.span_type)
        with self._lock:
            known = self._agents.get(agent.external_identifier)
            self._agents[agent.external_identifier] = agent
            self.version += known is None or not agent.repeats(known)

    def span_types_of(self, agent: AgentType) -> tuple[SpanType, ...]:
        """Return the declared span types that *agent* selects, sorted by name."""
        with self._lock:
            declared = list(self._span_types.values())
        chosen = {span_type.name: span_type for span_type in declared if agent.selects(span_type)}
        chosen.setdefault(agent.span_type.name, agent.span_type)
        return tuple(chosen[name] for name in sorted(chosen))

    def agents(self) -> tuple[AgentType, ...]:
        """Return the agents, sorted by their identifier."""
        with self._lock:
            return tuple(self._agents[identifier] for identifier in sorted(self._agents))

    def agent(self, identifier: str) -> AgentType | None:
        """Return the agent with this external identifier."""
        return self._agents.get(identifier)

    def span_type(self, name: str) -> SpanType | None:
        """Return the span type that is declared under *name*."""
        return self._span_types.get(name)

    def span_types(self) -> tuple[SpanType, ...]:
        with self._lock:
            return tuple(self._span_types[name] for name in sorted(self._span_types))

    def copy(self, outer: Registry | None = None) -> Registry:
        """Return a registry with the same declarations; *outer* gets its lasting ones too."""
        other = Registry(outer)
        with self._lock:
            other.version = self.version
            other._span_types.update(self._span_types)
            other._agents.update(self._agents)
            other._contents.update(self._contents)
        return other

    def after_fork_in_child(self) -> None:
        """Replace the lock, which a thread of the parent may have held."""
        Registry._lock = SignalSafeLock()


def _source_root(module: str, file: str) -> str | None:
    """Return the source root of a module, or of *file* if there is no module of that name.

    Code without a file, as in a notebook or at a prompt, counts as in the current folder. None if
    neither has a place, as a function of a builtin module.
    """
    for name in (module, *MAIN):
        names = vars(sys.modules[name]) if name in sys.modules else {}
        if names and imported_as(name, names) == module and isinstance(names.get("__file__"), str):
            return source_root(module, names["__file__"])
    if module == NOTEBOOK:
        return source_root(module, None)
    if file == UNKNOWN_FILE:
        return None
    return source_root(module, None if file.startswith("<") else file)


def _holds_distributions(folder: Path) -> bool:
    """Return whether packages of others are installed in *folder*."""
    return folder.name in {"site-packages", "dist-packages"} or any(folder.glob("*.dist-info"))


def _compared(declared: SpanType | AgentType) -> list[object]:
    """Return the fields that are equal in two declarations of the same function."""
    return [getattr(declared, each.name) for each in fields(declared) if each.compare]
