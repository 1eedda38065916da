"""`@remit.span_type`: a function whose every call is a span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, overload

from remit import _runtime
from remit._decorators._declare import StepOptions, declare, explicit_name
from remit._decorators._doors import Door, step_of
from remit._decorators._targets import CALLS, function_of
from remit._decorators._wrappers import StepFunction
from remit.models.agent_instance import DataRisk

T = TypeVar("T", bound=Callable[..., object])


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
    capture: bool | Mapping[str, bool] | None = None,
) -> Callable[[T], T]: ...
@overload
def span_type(name: T) -> T: ...
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
    capture: bool | Mapping[str, bool] | None = None,
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
    capture: bool | Mapping[str, bool] | None = None,
) -> object:
    """Record every call of the decorated function as a span, and declare what it may do.

    Bare or called, on functions, coroutine functions, generators, async generators, methods,
    static and class methods in either order.

    Args:
        name: Span type; `module:qualname` without one.
        data_risk: What the step may do and whose data flows through it: what `remit.risk(...)`
            returns, a `DataRisk`, or a mapping of the same shape.
        title: Title for people; made from the function's name without one.
        description: The docstring without one.
        template: Liquid text by which the server sums up a span.
        params: A model or JSON Schema in place of the one taken from the signature.
        result: The same for the result.
        capture: None follows the declaration: `restricted` and `secret` data are withheld. False
            records no values, True records them all the same; a mapping says so for each
            parameter name, and for `return`. Secrets are withheld whatever this says.

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


def _decorate(name: str | None, options: StepOptions, target: Any) -> StepFunction:  # noqa: ANN401 - anything may be decorated, little is fit
    function = function_of(target, "span_type")
    declared = declare(target, function, name, options, "span_type")
    _runtime.registry().add_span_type(declared)
    door = Door(step_of(declared), skip_first=declared.skip_first)
    return StepFunction(target, CALLS[declared.kind](door))
