"""Wrappers that record the calls of a function, coroutine, generator or async generator.

wrapt calls each of them with `(wrapped, instance, args, kwargs)`. The user's values and exceptions
pass through unchanged. The span is current while the user's code runs, in each step of a generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import CoroutineType
from typing import Any, Final, TypeAlias

from remit._base import guard
from remit._inspect.signature import CallKind
from remit._record.asking import ApprovalPending, ask_later
from remit._record.context import SavedContext, open_context
from remit._record.generators import named_as, wrap_async_generator, wrap_generator
from remit._record.results import PLAIN_TYPE_IDS, end_with_result
from remit._record.runs import SpanContext, current_context, set_context
from remit._record.spans import START, StepTracer
from remit._record.stepping import AnyCoroutine, as_coroutine, await_stepwise
from remit._record.streams import GeneratorSpan, StreamSpan

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = Mapping[str, Any]
Wrapped: TypeAlias = Callable[..., Any]
Wrapper: TypeAlias = Callable[[Wrapped, object, Args, dict[str, Any]], Any]

# As `type`: type checkers would narrow what is compared with it to unknown parameters.
_COROUTINE: Final[type] = CoroutineType


def function_call(tracer: StepTracer) -> Wrapper:
    """Return the wrapper of a plain function."""
    start, self_parameter = tracer.recorder.start, tracer.self_parameter
    is_agent = tracer.open_run is not None

    def call(wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs) -> Any:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        parent = current_context()
        if type(parent) is not SpanContext:  # a call more costs each call
            parent = open_context()
        if parent is None or (is_agent and parent.run.feed.closed):
            with tracer.outside():
                if current_context() is not None:  # in the run of an agent
                    return call(wrapped, instance, args, kwargs)
                return wrapped(*args, **kwargs)
        if instance is not None or self_parameter.is_self is False:
            span = start(parent, args, kwargs, instance)
        else:
            recorded = tracer.recorded(None, args)
            span = start(parent, recorded, kwargs, None if recorded is args else args[0])
        context = span.context
        try:
            set_context(context)
            try:
                # Empty keywords take 0.03 us, too.
                result: object = wrapped(*args, **kwargs) if kwargs else wrapped(*args)
            finally:
                if current_context() is context:
                    set_context(parent)
        except BaseException as error:
            span.fail(error)
            del args, kwargs  # the traceback keeps this frame
            raise
        if id(type(result)) in PLAIN_TYPE_IDS:
            span.complete(result)
            return result
        return end_with_result(span, result, instance, args, kwargs)

    return call


def coroutine_call(tracer: StepTracer) -> Wrapper:  # noqa: C901 - it counts `drive`
    """Return the wrapper of a coroutine function; the span starts at the first step."""
    start, is_agent = tracer.recorder.start, tracer.open_run is not None
    unstarted: Any = None

    async def drive(  # noqa: C901 - a frame more costs every call
        wrapped: Wrapped, instance: object, args: Args, kwargs: dict[str, Any]
    ) -> Any:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        parent = current_context()
        if type(parent) is not SpanContext:  # a call more costs each call
            parent = open_context()
        if parent is None or (is_agent and parent.run.feed.closed):
            async with tracer.outside():
                if current_context() is not None:  # in the run of an agent
                    return await drive(wrapped, instance, args, kwargs)
                return await wrapped(*args, **kwargs)
        recorded = tracer.recorded(instance, args)
        owner = instance if recorded is args else args[0]
        asking, span = None, unstarted
        try:
            span = start(parent, recorded, kwargs, owner, ask_later)
        except ApprovalPending as pending:
            asking = pending.asking
        if asking is not None:
            await asking.later()
            span = start(parent, recorded, kwargs, owner, None, asking.reservation)
        try:
            steps: AnyCoroutine = wrapped(*args, **kwargs)
            if type(steps) is not _COROUTINE:
                steps = as_coroutine(steps)
            set_context(span.context)
            try:
                yielded: object = steps.send(None)
            except StopIteration as stop:  # most have nothing to wait for
                result: object = stop.value
                if current_context() is span.context:
                    set_context(parent)
            except BaseException:
                set_context(parent)
                raise
            else:
                saved = SavedContext(span.context)
                saved.leave(parent)
                rest = await_stepwise(steps, saved, yielded)
                del yielded, parent  # the frame must not keep them alive during the next step
                result = await rest
                saved.keep()
        except BaseException as error:
            span.fail(error)
            del args, kwargs  # the traceback keeps this frame
            raise
        if id(type(result)) in PLAIN_TYPE_IDS:
            span.complete(result)
            return result
        return end_with_result(span, result, instance, args, kwargs)

    named_as(tracer.function, drive)  # so that its coroutines have the name of the user's
    return drive


def stream_call(wrap: Callable[[Any, StreamSpan], object], tracer: StepTracer) -> Wrapper:
    """Return the wrapper of a generator function, whose generators *wrap* drives step by step."""

    def call(wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs) -> object:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        inner: object = wrapped(*args, **kwargs)
        try:
            return wrap(inner, GeneratorSpan(tracer, instance, args, kwargs))
        except Exception as error:
            fault = error
        # The policy still applies to a stream that is not recorded.
        parent, recorder = open_context(), tracer.recorder
        if parent is None:
            guard.contain(START, fault)
            tracer.outside()
            return inner
        params = partial(recorder.params, tracer.recorded(instance, args), kwargs, parent.run)
        if recorder.ceiling is not None:
            # Its steps would run without the remit of the agent.
            recorder.react_to_fault(fault, parent, params)
        else:
            guard.contain(START, fault)
            recorder.permit(parent, params)
        return inner

    return call


CALLS: Final[dict[CallKind, Callable[[StepTracer], Wrapper]]] = {
    CallKind.FUNCTION: function_call,
    CallKind.COROUTINE: coroutine_call,
    CallKind.GENERATOR: partial(stream_call, wrap_generator),
    CallKind.ASYNC_GENERATOR: partial(stream_call, wrap_async_generator),
}
