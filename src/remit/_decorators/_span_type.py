"""`@remit.span_type`: a function whose every call is a span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from remit import _runtime
from remit._capture.wishes import Capture
from remit._decorators._declare import StepOptions, declare, explicit_name
from remit._decorators._doors import Door, step_of
from remit._decorators._holders import holder_of
from remit._decorators._targets import CALLS, target_of
from remit._decorators._wrappers import StepFunction, StepObject, Way
from remit.models.data_risk import DataRisk


class Descriptor(Protocol):
    """What gives a callable, or what one returns, where a class or an object is asked for it."""

    def __get__(self, instance: Any, owner: Any = None, /) -> Any:  # noqa: ANN401 - of any kind
        """Return it."""
        ...


T = TypeVar("T", bound=Callable[..., object] | Descriptor)


@overload
def span_type(name: T) -> T: ...
@overload
def span_type(
    name: str,
    *,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    title: str | None = None,
    description: str | None = None,
    template: str | None = None,
    params: object = None,
    result: object = None,
    capture: Capture | None = None,
) -> Callable[[T], T]: ...
@overload
def span_type(
    name: None = None,
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

    Bare or called, on whatever can be called: functions, coroutine functions, generators and async
    generators, methods, partials, callable objects, builtins; static and class methods, properties
    and abstract methods in either order. Under a decorator that keeps the function for itself,
    such as a route or a task of a framework; never above it.

    Args:
        name: Span type; `module:qualname` without one.
        data_risk: What the step may do and whose data flows through it: what `remit.risk(...)`
            returns, a `DataRisk`, or a mapping of the same shape.
        title: Title for people; made from the function's name without one.
        description: The docstring without one.
        template: Liquid text by which the server sums up a span.
        params: A class whose fields describe parameters (a model, dataclass, TypedDict), or a
            JSON Schema of them; what it does not name keeps what the signature says.
        result: Type or JSON Schema of the result; the type of each item, if there are several.
        capture: None follows the declaration: `restricted` and `secret` data are withheld. False
            records no values, True records them all the same; a mapping says so for each
            parameter name, and for `return`. Secrets are withheld whatever this says, unless a
            rule of redaction is turned off by its name, as it stands in a marker:
            `{"name:token": True}` for the span type, `{"cursor": {"name:token": True}}` for one
            parameter.

    Returns:
        The function, or a decorator of it; its type, signature and kind stay what they were.

    Raises:
        DeclarationError: Names the function, what was wrong and what is allowed.
    """
    options = StepOptions(
        data_risk=data_risk,
        title=title,
        description=description,
        template=template,
        params=params,
        result=result,
        capture=capture,
    )
    if name is None or isinstance(name, str):
        return partial(_decorate, explicit_name(name, "span_type"), options)
    return _decorate(None, options, name)


def _decorate(
    name: str | None,
    options: StepOptions,
    given: Any,  # noqa: ANN401 - anything may be decorated, little is fit
    *,
    receiver: bool | None = None,
    declared_in: str | None = None,
) -> object:
    holder = holder_of(given, "span_type")
    if holder is not None:
        return holder.put(_decorate(name, options, holder.inner, receiver=holder.receiver))
    target = target_of(given, "span_type", receiver=receiver)
    declared = declare(target, name, options, "span_type", declared_in=declared_in)
    _runtime.registry().add_span_type(declared)
    door = Door(
        step_of(declared),
        receiver=target.receiver,
        returns=lambda: declared.reading.returns,
    )
    home = declared.declared_in
    again = partial(_decorate, name, options, receiver=receiver, declared_in=home)
    way = Way(CALLS[target.kind](door), target.bind, again, target.receiver)
    return (StepObject if target.is_object else StepFunction)(target.wrapped, way)
