"""`@remit.span_type`: records every call of a function as a span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, Protocol, TypeVar, overload

from remit._base import guard
from remit._capture.plan import Capture
from remit._declare import inference
from remit._declare.registry import AgentType, SpanType
from remit._decorators.checks import checked_name, declare
from remit._inspect.decorated import CallableInfo, callable_info, unwrap_descriptor
from remit._policy.limits import Ceiling, not_compared
from remit._record.calls import CALLS
from remit._record.spans import SpanRecorder, StepTracer
from remit._record.wrappers import StepFunction, StepObject, WrapperConfig
from remit._runtime import process
from remit.errors import DeniedError
from remit.models.data_risk import DataRisk


class Descriptor(Protocol):
    """An object with `__get__`, such as a class method or a property."""

    def __get__(self, instance: Any, owner: Any = None, /) -> Any: ...


T = TypeVar("T", bound=Callable[..., object] | Descriptor)


@overload
def span_type(name: T) -> T: ...
@overload
def span_type(
    name: str | None = None,
    *,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    title: str | None = None,
    description: str | None = None,
    template: str | None = None,
    params: object = None,
    result: object = None,
    capture: Capture | None = None,
) -> Callable[[T], T]: ...
def span_type(  # noqa: PLR0913 - the frozen signature
    name: object = None,
    *,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    title: str | None = None,
    description: str | None = None,
    template: str | None = None,
    params: object = None,
    result: object = None,
    capture: Capture | None = None,
) -> object:
    """Record every call of the decorated function as a span, and declare what the function does.

    The decorator can be used with or without arguments, and on any callable: functions, coroutine
    functions, generators, methods, partials, callable objects and builtins. It can be above or
    below `staticmethod`, `classmethod`, `property` and `abstractmethod`. If another decorator
    stores a reference to the function, such as a framework's route or task decorator, put
    `span_type` below it.

    Args:
        name: Name of the span type. The default is `module:qualname`.
        data_risk: Risk declaration of the step, which describes what the step does and which data
            it handles. Pass the result of `remit.risk(...)`, or a mapping of the same form.
        title: Title that is shown to people. The default is derived from the function's name.
        description: Description of the step. The default is the function's docstring.
        template: Liquid template of a span's summary.
        params: Description of the parameters that is used instead of their annotations: a class
            with fields (a model, dataclass or TypedDict), or a JSON Schema.
        result: Type or JSON Schema of the result. For a generator, it describes each item.
        capture: Determines which values are recorded. With None, data declared as `restricted` or
            `secret` is redacted. With False, no values are recorded. With True, they are recorded
            even if the declaration would redact them. A mapping sets this for each parameter by
            name, and for the result under the `return` key. Secrets that a redaction rule
            recognises are redacted in any case, unless the rule is turned off. `{"name:token":
            True}` turns a rule off for the span type, and `{"cursor": {"name:token": True}}` turns
            it off for one parameter.

    Returns:
        The function, or a decorator that returns the function. Its type, signature and kind do not
        change.

    Raises:
        DeclarationError: If an argument is wrong. The message identifies the function and lists the
            allowed values.
    """
    options = {
        "data_risk": data_risk,
        "title": title,
        "description": description,
        "template": template,
        "params": params,
        "result": result,
        "capture": capture,
    }
    if name is None or isinstance(name, str):
        checked = None if name is None else checked_name(name, "@remit.span_type")
        return partial(_decorate, checked, options)
    return _decorate(None, options, name)


def _decorate(
    name: str | None,
    options: Mapping[str, Any],
    target: Any,
    *,
    takes_self: bool | None = None,
    declared_in: str | None = None,
) -> object:
    wrapping = unwrap_descriptor(target, "span_type")
    if wrapping is not None:
        inner = _decorate(name, options, wrapping.inner, takes_self=wrapping.takes_self)
        return wrapping.rewrap(inner)
    info = callable_info(target, "span_type", takes_self=takes_self)
    declared = declare(info, "span_type", name, options, declared_in)
    process.registry().add_span_type(declared)
    recorder = recorder_of(declared)
    tracer = StepTracer(
        info.function,
        recorder,
        info.self_parameter,
        outside=partial(outside, recorder),
    )
    redecorate = partial(
        _decorate, name, options, takes_self=takes_self, declared_in=declared.declared_in
    )
    config = config_of(info, tracer, redecorate)
    return (StepObject if info.is_object else StepFunction)(info.wrapped, config)


def config_of(
    info: CallableInfo, tracer: StepTracer, redecorate: Callable[[object], object]
) -> WrapperConfig:
    """Return how a declared callable is called, bound and decorated again."""
    check_by_value = partial(process.check_pickled_by_value, tracer.recorder.name)
    return WrapperConfig(
        CALLS[info.kind](tracer),
        info.binding,
        redecorate,
        check_by_value,
        info.self_parameter,
        tracer.recorder,
    )


def recorder_of(
    declared: SpanType, ceiling: Ceiling | None = None, agent: AgentType | None = None
) -> SpanRecorder:
    """Return the recorder of a declaration; its signature is read at the first call."""
    return SpanRecorder(
        declared.name,
        lambda: inference.plan_of(declared),
        declared=declared,
        find_risk=lambda: inference.effective(declared),
        ceiling=ceiling,
        kind=declared.step_kind,
        agent=agent,
    )


_NO_BLOCK: Final[nullcontext[None]] = nullcontext()


def outside(recorder: SpanRecorder, *, deny: bool = True) -> nullcontext[None]:
    """Count a call outside any run, or deny it; return an empty block to run it in.

    Without *deny* it is only counted, because it cannot be stopped.

    Raises:
        DeniedError: The settings deny it.
        RecursionError: The program is too deep in a recursion to decide.
    """
    try:
        process.current().outside(recorder, deny=deny)
    except DeniedError:
        raise
    except Exception as error:
        outside_after(recorder, error, deny=deny)
    return _NO_BLOCK


def outside_after(recorder: SpanRecorder, error: Exception, *, deny: bool = True) -> None:
    """Contain a fault that kept a call outside any run from being judged, and deny the call.

    Raises:
        DeniedError: The settings do not let every step run.
    """
    permissive = not deny or process.is_permissive()
    if isinstance(error, RecursionError) and not permissive:
        raise error
    guard.contain("a call outside any run", error)
    if not permissive:
        raise DeniedError(recorder.name, (not_compared(recorder.name),)) from error
