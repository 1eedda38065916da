"""The declarations themselves: span types, agents, and names given by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Final, TypedDict

from remit._annotations import unwrapped
from remit._docstrings import docstring, sendable, summary
from remit._frames import names_of_caller
from remit._guard import attempt
from remit._overrides import CaptureOption, overridden
from remit._registry._names import MAIN, default_name, human, imported_as, module_name, qualname
from remit._signature import CallKind, Reading, read
from remit.errors import DeclarationError
from remit.models.data_risk import DataRisk

_CALLED: Final = ("function", "body", "find_receiver")
"""What of a span type is the callable itself, and not said of it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SpanType:
    """One declared span type.

    Attributes:
        name: What spans call it.
        function: What is called, and whose signature is read.
        body: The function at its bottom, under decorators, partials and objects.
        doc: Its docstring, else that of the object's class.
        qualname: Its qualified name.
        module: Its module, by the name that it would be imported under.
        declared_in: The module where it was decorated: another one, for a library's function.
        file: Where it stands.
        line: The line, from one.
        kind: How it runs.
        skip_first: Calls do not carry the first parameter (`self`, `cls`).
        find_receiver: Settles that, at the first use, where it was not known at declaration.
        explicit_name: The author chose the name.
        data_risk: What it may do and whose data flows through it.
        title: Title for people, if the author gave one.
        description: Description, if the author gave one.
        template: Liquid text by which the server sums up a span.
        params: Model or JSON Schema in place of the signature's, or None.
        result: The same for the result.
        capture: What the author said of recording, by parameter, `return` and rule.
    """

    name: str
    function: Callable[..., object]
    body: Callable[..., object]
    doc: str | None
    qualname: str
    module: str
    file: str
    line: int
    kind: CallKind
    skip_first: bool
    explicit_name: bool
    declared_in: str = ""
    find_receiver: Callable[[], bool] | None = None
    data_risk: DataRisk | None = None
    title: str | None = None
    description: str | None = None
    template: str | None = None
    params: object = None
    result: object = None
    capture: Mapping[str, CaptureOption] = field(default_factory=dict[str, CaptureOption])

    @classmethod
    def declare(  # noqa: PLR0913 - the arguments of the frozen decorator
        cls,
        function: Callable[..., object],
        *,
        kind: CallKind,
        skip_first: bool,
        find_receiver: Callable[[], bool] | None = None,
        named: Callable[..., object] | None = None,
        name: str | None = None,
        data_risk: DataRisk | None = None,
        title: str | None = None,
        description: str | None = None,
        template: str | None = None,
        params: object = None,
        result: object = None,
        capture: Mapping[str, CaptureOption] | None = None,
        declared_in: str | None = None,
    ) -> SpanType:
        """Return the declaration of *function*; *name* None means `<module>:<qualname>`."""
        body = unwrapped(function)
        named = body if named is None else named
        return cls(
            **_told_by(body, named),
            name=name or default_name(named),
            function=function,
            declared_in=_module_of_caller() if declared_in is None else declared_in,
            kind=kind,
            skip_first=skip_first,
            find_receiver=find_receiver,
            explicit_name=name is not None,
            data_risk=data_risk,
            title=title,
            description=description,
            template=template,
            params=params,
            result=result,
            capture=capture or {},
        )

    @cached_property
    def signature(self) -> Reading:
        """The signature, read at the first use: the names in it exist by then."""
        find = self.find_receiver
        return read(self.function, skip_first=self.skip_first if find is None else find())

    @cached_property
    def reading(self) -> Reading:
        """The signature with the types of `params` and `result` in it: what is recorded."""
        streams = self.kind in {CallKind.GENERATOR, CallKind.ASYNC_GENERATOR}
        return overridden(self.signature, streams=streams, params=self.params, result=self.result)

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.file}:{self.line}"

    @property
    def package(self) -> str:
        """The top-level package."""
        return _package(self.module)

    @property
    def packages(self) -> frozenset[str]:
        """The top-level packages of its function and of the place where that was decorated."""
        return frozenset(map(_package, (self.module, self.declared_in)))

    def is_within(self, module: str) -> bool:
        """Return whether *module*, or one beneath it, has its function or decorated that."""
        homes = (self.module, self.declared_in)
        return any(f"{each}.".startswith(f"{module}.") for each in homes)

    def is_of(self, function: object) -> bool:
        """Return whether this is the span type of *function*, or of one inside its decorators."""
        return any(each is self.function or each is self.body for each in _layers(function))

    @property
    def in_main(self) -> bool:
        """Whether it stands in the program's own module or a notebook, where cells run again."""
        return getattr(self.body, "__module__", None) in MAIN

    def replaces(self, other: SpanType) -> bool:
        """Return whether this is *other* declared again: a reload, a factory, a cell run again."""
        if self.in_main and other.in_main:
            return True
        if not (self.explicit_name or other.explicit_name):
            return True
        return self.file == other.file and (
            0 < self.line == other.line or self.qualname == other.qualname
        )

    def repeats(self, other: SpanType) -> bool:
        """Return whether a registration of this is one of *other*: the same code, said alike.

        A function that is decorated in another's body is declared at each call.
        """
        mine, others = (getattr(each.body, "__code__", each) for each in (self, other))
        return mine is others and _said(self, *_CALLED) == _said(other, *_CALLED)


@dataclass(frozen=True, eq=False, kw_only=True)
class AgentType:
    """One declared agent.

    Attributes:
        external_identifier: `<module>:<qualname>`, by which a server knows it again.
        name: Display name.
        description: What it does, if anything says so.
        version: External identifier of its version, if the author gave one.
        agent_id: Its id on the server, if the author gave it.
        environment_id: The environment's id, if the author gave it.
        data_risk: Its remit.
        span_types: Functions, modules and name prefixes whose span types are its own as well.
        quality: Models or JSON Schemas of its quality payloads, by name.
        span_type: The span type of its calls.
    """

    external_identifier: str
    name: str
    span_type: SpanType
    description: str | None = None
    version: str | None = None
    agent_id: str | None = None
    environment_id: str | None = None
    data_risk: DataRisk | None = None
    span_types: tuple[object, ...] = ()
    quality: Mapping[str, object] = field(default_factory=dict[str, object])

    @classmethod
    def declare(
        cls,
        span_type: SpanType,
        *,
        name: str | None = None,
        version: str | None = None,
        agent_id: str | None = None,
        environment_id: str | None = None,
        span_types: tuple[object, ...] = (),
        quality: Mapping[str, object] | None = None,
    ) -> AgentType:
        """Return the declaration of the agent whose calls are of *span_type*.

        Raises:
            DeclarationError: A member of *span_types* is neither function, module nor prefix.
        """
        identifier = f"{span_type.module}:{span_type.qualname}"
        for each in span_types:
            _check_selector(each, f"{identifier} ({span_type.place})")
        return cls(
            external_identifier=identifier,
            name=name or span_type.title or human(span_type.qualname),
            span_type=span_type,
            description=span_type.description or summary(span_type.doc),
            version=version,
            agent_id=agent_id,
            environment_id=environment_id,
            data_risk=span_type.data_risk,
            span_types=span_types,
            quality=quality or {},
        )

    @cached_property
    def local_identifier(self) -> str:
        """The identifier in local mode: the folder of the project and the external identifier.

        Two projects may both have a `main:bot`, and local mode keeps the runs of both in one file.
        """
        # The current folder may be gone, or a folder may not be readable.
        folder = attempt(lambda: _project_folder(self.span_type))
        own = self.external_identifier
        return own if isinstance(folder, Exception) else sendable(f"{folder}/{own}")

    @property
    def place(self) -> str:
        """Identifier, file and line, for messages."""
        return f"{self.external_identifier} ({self.span_type.place})"

    def selects(self, span_type: SpanType) -> bool:
        """Return whether *span_type* is one of this agent's, by its declaration."""
        return self.span_type.package in span_type.packages or any(
            _selected(each, span_type) for each in self.span_types
        )

    def repeats(self, other: AgentType) -> bool:
        """Return whether a registration of this is one of *other*, its span type aside."""
        return _said(self, "span_type") == _said(other, "span_type")

    def selected_functions(self) -> tuple[object, ...]:
        """Return the functions among `span_types`."""
        return tuple(each for each in self.span_types if not isinstance(each, str | ModuleType))


class _Told(TypedDict):
    """What a callable tells of itself."""

    body: Callable[..., object]
    doc: str | None
    qualname: str
    module: str
    file: str
    line: int


def _told_by(body: Callable[..., object], named: Callable[..., object]) -> _Told:
    code = getattr(body, "__code__", None)
    return {
        "body": body,
        "doc": docstring(body) or docstring(named),
        "qualname": qualname(named),
        "module": module_name(named),
        "file": getattr(code, "co_filename", "<unknown>"),
        "line": getattr(code, "co_firstlineno", 0),
    }


def _project_folder(declared: SpanType) -> str:
    """Return the folder that contains the top-level module or package, with `~` for the home.

    Code without a file, as in a notebook or at a prompt, counts as in the current folder.
    """
    path = Path(declared.file)
    if path.is_file():
        parents = path.absolute().parents
        levels = declared.module.count(".") + (path.name == "__init__.py")
        folder = parents[min(levels, len(parents) - 1)]
    else:
        folder = Path.cwd()
    with suppress(ValueError, RuntimeError):  # it is elsewhere, or there is no home
        folder = "~" / folder.relative_to(Path.home())
    return folder.as_posix()


def _module_of_caller() -> str:
    names = names_of_caller()
    return imported_as(str(names.get("__name__")), names)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _said(declared: SpanType | AgentType, *aside: str) -> list[object]:
    """Return every attribute of a declaration but those *aside*."""
    return [getattr(declared, each.name) for each in fields(declared) if each.name not in aside]


def _check_selector(selector: object, where: str) -> None:
    if isinstance(selector, type) or not (
        isinstance(selector, str | ModuleType) or callable(selector)
    ):
        raise DeclarationError(
            f"@remit.agent on {where}: span_types holds {selector!r}; expected functions, modules "
            "or prefixes of names"
        )


def _selected(selector: object, span_type: SpanType) -> bool:
    """Return whether a member of an agent's `span_types` names *span_type*."""
    if isinstance(selector, str):
        return span_type.name.startswith(selector)
    if isinstance(selector, ModuleType):
        return span_type.is_within(selector.__name__)
    return span_type.is_of(selector)


def _layers(function: object) -> list[object]:
    """Return a callable and what is inside it, as decorators and binding left it."""
    layers: list[object] = []
    inner: object = function
    while inner is not None and all(inner is not each for each in layers):
        layers.append(inner)
        inner = getattr(inner, "__func__", None) or getattr(inner, "__wrapped__", None)
    return layers
