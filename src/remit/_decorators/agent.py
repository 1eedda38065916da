"""`@remit.agent`: declares an agent, and opens its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, ParamSpec, TypedDict, TypeVar, Unpack, cast, get_args, overload

from remit._base.guard import guarded, logger
from remit._base.ids import is_key, is_pfid
from remit._base.text import describe_value
from remit._base.traceparent import known_part
from remit._declare.limits import ceiling_of
from remit._declare.registry import AgentType
from remit._decorators.checks import check_texts, checked_name, declare, place_of
from remit._decorators.span_type import config_of, recorder_of
from remit._inspect.decorated import (
    CallableInfo,
    callable_info,
    misplaced_error,
    unwrap_descriptor,
)
from remit._inspect.introspection import is_a, is_mapping
from remit._policy.limits import under
from remit._policy.maxima import Limits
from remit._record.about import (
    FIELDS,
    About,
    checked_text,
    suggested_texts,
    texts_of,
    with_texts,
)
from remit._record.blocks import RunBlock
from remit._record.context import check_terminated, open_context
from remit._record.runs import OpenRun, RunOptions, SpanContext, about_within
from remit._record.spans import StepTracer
from remit._record.wrappers import Agent, AgentObject
from remit._runtime import process
from remit.errors import DeclarationError, UsageError
from remit.models._types import Purpose
from remit.models.data_risk import DataRisk

P = ParamSpec("P")
R = TypeVar("R")

COLLECTIONS: Final = (list, tuple, set, frozenset)


@overload
def agent(name: Callable[P, R]) -> Agent[P, R]: ...
@overload
def agent(
    name: str | None = None,
    *,
    version: str | None = None,
    description: str | None = None,
    owner: str | None = None,
    agent_id: str | None = None,
    external_identifier: str | None = None,
    environment_id: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    limits: Limits | None = None,
    span_types: Sequence[object] = (),
    quality: Mapping[str, object] | None = None,
) -> Callable[[Callable[P, R]], Agent[P, R]]: ...
def agent(  # noqa: PLR0913 - the frozen signature
    name: object = None,
    *,
    version: str | None = None,
    description: str | None = None,
    owner: str | None = None,
    agent_id: str | None = None,
    external_identifier: str | None = None,
    environment_id: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    limits: Limits | None = None,
    span_types: Sequence[object] = (),
    quality: Mapping[str, object] | None = None,
) -> object:
    """Declare an agent. The decorated function is the entry point of its runs.

    The decorated function works as before, and also has the methods `run` and `registration`. On
    the server, each run is an instance of the agent.

    Args:
        name: Display name. The default is derived from the function's name.
        version: External identifier of the agent version. The default is the hash of the agent's
            schemas.
        description: Description of the agent. The default is the function's docstring.
        owner: The person or team responsible for the agent.
        agent_id: Id of the agent on the server. It overrides the `agent_id` setting.
        external_identifier: Identifier by which the server finds the agent. The default is
            `<project>/<module>:<qualname>`. If the top-level package has the project's name, the
            default has no project.
        environment_id: Id of the environment on the server.
        data_risk: The agent's remit, which limits what its steps may do and which data they may
            handle. The `on_violation` setting determines the reaction to a step that violates the
            remit.
        limits: How many steps of one run may take an action, from `remit.limits(...)`. The
            `on_violation` setting determines the reaction to a step beyond a limit.
        span_types: Further span types to register, given as functions, modules, or name prefixes.
            The agent always registers the span types of all modules under its source root, which is
            the directory on `sys.path` from which the agent's module was imported.
        quality: Models or JSON Schemas for the scores that the agent records with
            `Run.record_quality`, by name.

    Returns:
        The agent, or a decorator that returns the agent.

    Raises:
        DeclarationError: If an argument is wrong. The message identifies the function and lists the
            allowed values.
    """
    if isinstance(span_types, str) or not isinstance(span_types, Sequence):
        raise DeclarationError(
            f"@remit.agent(span_types=...) is of type {type(span_types).__name__}; expected a list "
            "of functions, modules or prefixes of names"
        )
    options = {
        "version": version,
        "description": description,
        "owner": owner,
        "agent_id": agent_id,
        "external_identifier": external_identifier,
        "environment_id": environment_id,
        "data_risk": data_risk,
        "limits": limits,
        "span_types": tuple(span_types),
        "quality": quality,
    }
    if name is None or isinstance(name, str):
        checked = None if name is None else checked_name(name, "@remit.agent")
        return partial(_decorate, checked, options)
    return _decorate(None, options, name)


def _decorate(
    name: str | None,
    options: Mapping[str, Any],
    target: object,
    *,
    takes_self: bool | None = None,
    declared_in: str | None = None,
) -> object:
    wrapping = unwrap_descriptor(target, "agent")
    if wrapping is not None and not wrapping.is_called:
        raise misplaced_error("agent", wrapping.decorator)
    if wrapping is not None:
        inner = _decorate(name, options, wrapping.inner, takes_self=wrapping.takes_self)
        return wrapping.rewrap(inner)
    info = callable_info(target, "agent", takes_self=takes_self)
    declared = _declare(info, name, options, declared_in)
    _log_shared_name(declared)
    process.registry().add_agent(declared)
    runs = AgentRuns(declared)
    tracer = StepTracer(
        info.function,
        recorder_of(declared.span_type, runs.ceiling, declared),
        info.self_parameter,
        outside=runs.outside,
        open_run=runs.open,
    )
    redecorate = partial(
        _decorate, name, options, takes_self=takes_self, declared_in=declared.span_type.declared_in
    )
    config = config_of(info, tracer, redecorate)
    agent_class: type[Any] = AgentObject if info.is_object else Agent
    register = partial(process.registration, declared)
    return agent_class(info.wrapped, config, runs.block, register)


def _declare(
    info: CallableInfo, name: str | None, options: Mapping[str, Any], declared_in: str | None
) -> AgentType:
    span_type = declare(info, "agent", None, options, declared_in)
    where = place_of(info, "agent")
    texts = {key: options[key] for key in ("version", "agent_id", "environment_id")}
    identifier = options["external_identifier"]
    check_texts(where, external_identifier=identifier, **texts)
    quality: Mapping[str, object] = {} if options["quality"] is None else options["quality"]
    if not issubclass(type(quality), Mapping):
        raise DeclarationError(
            f"{where}: quality is of type {type(quality).__name__}; expected a mapping of "
            "names to models or JSON Schemas"
        )
    return AgentType(
        span_type,
        explicit_name=name,
        span_types=options["span_types"],
        quality=quality,
        given_identifier=identifier,
        **texts,
    )


@guarded("a look at the names of agents")
def _log_shared_name(declared: AgentType) -> None:
    """Log that another agent has the same display name, at the first declaration of *declared*."""
    name = declared.explicit_name
    named = [agent for agent in process.registry().agents() if name and agent.explicit_name == name]
    if named and all(agent.external_identifier != declared.external_identifier for agent in named):
        logger.warning(
            "two agents have the display name %r: %s and %s. Give each its own name. Until then, "
            "both are recorded under their module and function",
            name,
            named[0].place,
            declared.place,
        )


def are_labels(value: object) -> bool:
    """Return whether *value* has the type of labels."""
    return is_mapping(value) or is_a(value, *COLLECTIONS)


class RunArguments(TypedDict, total=False):
    """The arguments of `Agent.run`, and what a framework suggests.

    Attributes:
        suggested: Conversation, on_behalf_of, subject and labels as a framework knows them, of any
            type. They count where the program says nothing; what is not valid is left out.
        goes_on: Whether the agent goes on with what waits for an answer, as `RunOptions.goes_on`.
    """

    purpose: str | None
    conversation: str | None
    on_behalf_of: str | None
    subject: str | None
    labels: object
    resume: str
    traceparent: str | None
    suggested: Mapping[str, object]
    goes_on: bool | None


class AgentRuns:
    """Opens the runs of one agent.

    Attributes:
        ceiling: The limits of the agent, which apply to all of a run; None if it has none, or if
            they apply to a part of it.
    """

    __slots__ = ("_agent", "_malformed_logged", "_unused_logged", "ceiling")

    def __init__(self, agent: AgentType, *, limits_run: bool = True) -> None:
        self._agent = agent
        self._unused_logged = self._malformed_logged = False
        self.ceiling = ceiling_of(agent) if limits_run else None

    @guarded("a call outside any run", nullcontext())
    def outside(self) -> RunBlock:
        """Return the block of a run around a call outside any run."""
        return RunBlock(self.open)

    def block(self, **arguments: Unpack[RunArguments]) -> RunBlock:
        """Return the block of a run, as `Agent.run` documents.

        Raises:
            UsageError: An argument has a wrong type or value.
        """
        # None for `resume` is an error, and for the others the default.
        given = cast(
            "RunArguments",
            {name: arg for name, arg in arguments.items() if arg is not None or name == "resume"},
        )
        if not given:
            return RunBlock(self.open, self._log_unused)
        self._check(**given)
        self._texts(given)
        return RunBlock(partial(self.open, **given), self._log_unused)

    @guarded("a block that was never entered")
    def _log_unused(self) -> None:
        """Log once for each agent that a block was never entered."""
        if self._unused_logged:
            return
        self._unused_logged = True
        logger.warning(
            "%s: a block of run() was never entered, so no run was opened: write "
            "`with agent.run() as run:` around the calls",
            self._agent.external_identifier,
        )

    @guarded("the arguments of a run", passes=(UsageError,))
    def _check(self, **arguments: Unpack[RunArguments]) -> None:
        purpose, labels = arguments.get("purpose"), arguments.get("labels")
        resume = arguments.get("resume")
        if purpose is not None and not (type(purpose) is str and purpose in get_args(Purpose)):
            raise self._misuse("purpose", purpose, f"one of {', '.join(get_args(Purpose))}")
        if labels is not None and not are_labels(labels):
            expected = 'a list of strings or a mapping of strings, as in {"channel": "mail"}'
            raise self._misuse("labels", labels, expected)
        if "resume" in arguments and not (
            type(resume) is str and (is_key(resume) or is_pfid(resume))
        ):
            expected = "Run.key of a run, 26 characters, or its Run.id, 32 characters"
            if resume is None:
                expected += (
                    ". Run.id is None until the server has registered the run; store run.key, "
                    "which is known at once, or leave resume out to open a new run"
                )
            raise self._misuse("resume", resume, expected)

    @guarded("the arguments of a run", passes=(UsageError,))
    def _texts(self, arguments: RunArguments) -> dict[str, str | None] | None:
        """Return the texts about a run among its arguments, None if it has none.

        Raises:
            UsageError: One is not valid.
        """
        given = cast("Mapping[str, object]", arguments)
        texts = {name: given[name] for name in FIELDS if name in given}
        if not texts:
            return None
        where = f"run({{}}=...) of {self._agent.external_identifier}"
        off = process.redact_off()
        return {name: checked_text(name, text, where, off) for name, text in texts.items()}

    def _about(self, arguments: RunArguments, outer: SpanContext | None) -> About:
        """Return what is said of a run: by its arguments, else around it, else by a framework."""
        about = about_within(outer)
        suggested = arguments.get("suggested")
        texts = suggested_texts(suggested, process.redact_off()) if suggested else None
        if texts:
            about = with_texts(About(**texts), texts_of(about))
        given = self._texts(arguments)
        return with_texts(about, given) if given else about

    @guarded("the link of a run")
    def _link(self, header: object) -> str | None:
        """Return the `traceparent` to record; log a malformed one, once for each agent."""
        if header is None:
            return None
        known = known_part(str.__str__(cast("str", header))) if is_a(header, str) else None
        if known is None and not self._malformed_logged:
            self._malformed_logged = True
            logger.warning(
                "run(traceparent=...) of %s: saw %s; expected a W3C Trace Context header, as "
                "remit.trace_headers() returns it. The run is not linked",
                self._agent.external_identifier,
                describe_value(header),
            )
        return known

    def _misuse(self, name: str, value: object, expected: str) -> UsageError:
        agent = self._agent.external_identifier
        return UsageError(
            f"run({name}=...) of {agent}: saw {describe_value(value)}; expected {expected}"
        )

    def open(self, **arguments: Unpack[RunArguments]) -> OpenRun:
        """Open a run without making it current.

        Raises:
            RunTerminated: A run around it, or the one to be resumed, was terminated.
            UsageError: An argument has a wrong type or value.
        """
        if arguments:
            self._check(**arguments)
        runtime, outer = process.current(), open_context()
        if outer is not None:
            check_terminated(outer)
        resume = arguments.get("resume")
        if resume is not None:
            runtime.check_resumed(resume)
        labels = arguments.get("labels")
        if labels is None and "suggested" in arguments:
            suggested = arguments["suggested"].get("labels")
            labels = suggested if are_labels(suggested) else None
        options = RunOptions(
            arguments.get("purpose") or runtime.settings.purpose,
            self._about(arguments, outer) if arguments else about_within(outer),
            labels,
            resume,
            self._link(arguments.get("traceparent")),
            arguments.get("goes_on"),
        )
        ceilings = under(outer.ceilings if outer is not None else (), self.ceiling)
        return runtime.open_run(self._agent, options, ceilings)
