"""`@remit.span_type`: records every call of a function as a span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, Protocol, TypeVar, overload

from remit._base import guard
from remit._capture.plan import Capture
from remit._declare import inference
from remit._declare.registry import SpanType
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
    """Record every call of the decorated function as a span, and declare what it may do.

    It decorates any callable, with or without arguments: functions, coroutine functions, generators
    and async generators, methods, partials, callable objects, builtins; static and class methods,
    properties and abstract methods in either order. Put it below a decorator that keeps the
    function, such as a route or a task of a framework, never above.

    Args:
        name: Span type; by default `module:qualname`.
        data_risk: Actions and data of the step: the result of `remit.risk(...)`, a
            `DataRisk`, or a mapping of the same shape.
        title: Title for people; by default made from the function's name.
        description: By default the docstring.
        template: Liquid template of a span's summary.
        params: A class whose fields describe parameters (a model, dataclass, TypedDict), or a
            JSON Schema of them; other parameters follow the signature.
        result: Type or JSON Schema of the result; the type of each item, if there are several.
        capture: None follows the declaration: `restricted` and `secret` data are redacted. False
            records no values, True records them in spite of the declaration; a mapping decides by
            parameter name, and by `return` for the result. Secrets are redacted in any case,
            unless a rule of redaction is turned off by the name in its marker:
            `{"name:token": True}` for the span type, `{"cursor": {"name:token": True}}` for one
            parameter.

    Returns:
        The function, or a decorator of it; its type, signature and kind stay the same.

    Raises:
        DeclarationError: Names the function, what was wrong and what is allowed.
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


def recorder_of(declared: SpanType, ceiling: Ceiling | None = None) -> SpanRecorder:
    """Return the recorder of a declaration; its signature is read at the first call."""
    return SpanRecorder(
        declared.name,
        lambda: inference.plan_of(declared),
        declared=declared,
        find_risk=lambda: inference.effective(declared),
        ceiling=ceiling,
        kind=declared.step_kind,
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
