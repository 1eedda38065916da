"""The decorated callables: wrapt wrappers that behave like the undecorated ones.

wrapt keeps `inspect.is*function`, signatures and attributes. This module adds binding, so that a
method is a real bound method, which pickles, copies and compares like the undecorated one; pickling
and copying of unbound callables; and the `__call__` of objects.
"""

from __future__ import annotations

import copy
import pkgutil
import sys
from collections.abc import Callable, Collection, Mapping
from inspect import getattr_static
from types import FunctionType, MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    NamedTuple,
    Never,
    NoReturn,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)

from wrapt import FunctionWrapper

from remit._base.guard import attempt
from remit._base.unset import UNSET, Unset
from remit._inspect.decorated import NO_SELF, Binding, SelfParameter
from remit._inspect.introspection import kind_of
from remit._record.blocks import RunBlock
from remit._record.calls import Wrapper
from remit._record.spans import SpanRecorder

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")

_NOT_OF_FUNCTIONS: Final = (
    "__len__", "__contains__", "__iter__", "__reversed__",
    "__enter__", "__exit__", "__aenter__", "__aexit__",
    "__int__", "__float__", "__complex__", "__index__", "__bytes__", "__abs__", "__round__",
)  # fmt: skip
"""Methods of wrapt's proxies that functions lack; `isinstance(step, Sized)` would be true."""

CHECK: Final = "__remit__"
"""Name of the `PicklingCheck` in the `__dict__` of a decorated function."""

if TYPE_CHECKING:  # the class takes no parameters when the program runs
    _Function = FunctionWrapper[..., Any]
else:
    # None declares that the class has no such method, whatever its base class has.
    _Function = type("_Function", (FunctionWrapper,), dict.fromkeys(_NOT_OF_FUNCTIONS))


class PicklingCheck:
    """Entry in the `__dict__` of a decorated function; its own pickling means that by value.

    cloudpickle, and with it joblib, dask and Ray, takes a function of `__main__` apart instead of
    asking the decorated one how it is pickled, and sends its code and what is in its `__dict__`.
    What arrives is the bare function.
    """

    __slots__ = ("_check",)

    def __init__(self, check: Callable[[], object]) -> None:
        """Call *check*, which may raise, when this object is pickled."""
        self._check = check

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        """Pickle as an empty string, unless the check raises."""
        self._check()
        return str, ()

    def __copy__(self) -> Self:
        """Return this object, as of a function."""
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Return this object, as of a function."""
        return self


class WrapperConfig(NamedTuple):
    """How a decorated callable is called, bound and decorated again.

    Attributes:
        redecorate: Decorates a copy in the same way; can be pickled.
        check_by_value: Called when a function is pickled by value, and may raise.
        self_parameter: Whether its first argument is the object or class it is called on.
    """

    call: Wrapper
    binding: Binding
    redecorate: Callable[[Any], object]
    check_by_value: Callable[[], object]
    self_parameter: SelfParameter = NO_SELF
    recorder: SpanRecorder | None = None


class StepFunction(_Function):
    """A callable decorated with `@remit.span_type`.

    Attributes named `_self_...` are the wrapper's; all others are those of the wrapped callable.
    """

    def __init__(self, wrapped: Any, config: WrapperConfig) -> None:
        """Wrap *wrapped*, to be called and bound as *config* says."""
        if type(wrapped) is FunctionType:
            # wrapt looks up `__self__` at each call, except of builtins; for a function that
            # raises an `AttributeError`, which takes 0.3 us.
            base: Any = super(FunctionWrapper, self)
            base.__init__(wrapped, None, config.call, None, "builtin")
            wrapped.__dict__[CHECK] = PicklingCheck(config.check_by_value)
        else:
            super().__init__(wrapped, config.call)
        self._self_config = config

    @property
    def _self_recorder(self) -> SpanRecorder | None:
        return self._self_config.recorder

    @property
    def _self_binding(self) -> str:  # type: ignore[override] # wrapt's is an attribute
        """Tell a wrapt wrapper around this one the kind of callable that is wrapped."""
        return "function" if type(self.__wrapped__) is FunctionType else super()._self_binding

    def __get__(self, instance: Any, owner: Any = None) -> object:  # type: ignore[override] # wrapt binds to proxies
        """Bind as the wrapped callable does; decorate the object that a descriptor returns."""
        config = self._self_config
        if config.binding is Binding.FUNCTION:
            if instance is None:
                return self
            config.self_parameter.on_bind()
            return MethodType(self, instance)
        if config.binding is Binding.CLASS:
            return MethodType(self, kind_of(instance) if owner is None else owner)
        if config.binding is Binding.NONE:
            return self

        def call(inner: Any, _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
            return config.call(inner, instance, args, kwargs)

        wrapped: Any = self.__wrapped__
        attribute: object = wrapped.__get__(instance, owner)
        if type(attribute) is MethodType and attribute.__func__ is wrapped:
            config.self_parameter.on_bind()
            return MethodType(self, instance)  # as for a function: `lru_cache` binds this way
        return self._self_like(
            attribute, config._replace(call=call, binding=Binding.NONE, self_parameter=NO_SELF)
        )

    def __set_name__(self, owner: type, name: str) -> None:
        """Note the class whose body this is in."""
        self._self_config.self_parameter.on_set_name(owner, name)
        wrapped: object = self.__wrapped__
        if hasattr(type(wrapped), "__set_name__"):
            cast("Any", wrapped).__set_name__(owner, name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce_ex__(self, protocol: object) -> str | tuple[object, ...]:
        """Pickle as the wrapped callable does: by its name, else by its parts."""
        name = str(getattr(self, "__qualname__", ""))
        if attempt(lambda: pkgutil.resolve_name(f"{self.__module__}:{name}")) is self:
            return name
        return self._self_config.redecorate, (self.__wrapped__,)

    def __copy__(self) -> object:
        """Copy as the wrapped callable does: a function is its own copy."""
        return self._self_copied(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, object]) -> object:
        """Copy as the wrapped callable does: a function is its own copy."""
        return self._self_copied(copy.deepcopy(self.__wrapped__, memo))

    def _self_copied(self, copied: object) -> object:
        return self if copied is self.__wrapped__ else self._self_config.redecorate(copied)

    def _self_like(self, wrapped: object, config: WrapperConfig) -> StepFunction:
        """Return *wrapped* in a wrapper of the same class, with *config*."""
        return StepFunction(wrapped, config)


class StepObject(StepFunction):
    """A decorated object of a class with `__call__`, which may also be a collection or a block.

    Frameworks test whether the `__call__` of an object is a coroutine function.
    """

    @property
    def __call__(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleMethodOverride] # a property
        """The object's own `__call__`, decorated."""
        wrapped: Any = self.__wrapped__
        config = self._self_config._replace(binding=Binding.NONE)
        return self._self_like(wrapped.__call__, config)


for _name in _NOT_OF_FUNCTIONS:
    setattr(StepObject, _name, getattr(FunctionWrapper, _name, None))


class Agent(StepFunction, Generic[P, R]):
    """A callable that is decorated with `@remit.agent`.

    It has the methods `run` and `registration`. A call outside any run opens a run for the call. A
    call inside a run is recorded as a span of that run.
    """

    def __init__(
        self,
        wrapped: Any,
        config: WrapperConfig,
        block: Callable[..., RunBlock],
        registration: Callable[[], dict[str, object]],
    ) -> None:
        """Wrap *wrapped*; *block* and *registration* come from the declaration."""
        super().__init__(wrapped, config)
        self._self_block = block
        self._self_registration = registration

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the function, in a new run if there is no current run."""
            ...

        # On a class, the parameters are left open: mypy cannot tell methods, class methods and
        # static methods apart that are decorated by a class.
        @overload  # type: ignore[override] # it binds an agent
        def __get__(self, instance: None, owner: type, /) -> Agent[..., R]: ...
        @overload
        def __get__(
            self: Agent[Concatenate[type[Any], Q], R],
            instance: object,
            owner: type | None = None,
            /,
        ) -> Agent[Q, R]: ...
        @overload
        def __get__(
            self: Agent[Concatenate[T, Q], R], instance: T, owner: type | None = None, /
        ) -> Agent[Q, R]: ...
        def __get__(  # pyright: ignore[reportIncompatibleMethodOverride] # the same
            self, instance: object, owner: type | None = None, /
        ) -> Agent[..., R]:
            """Return the agent bound to an object, or itself on a class."""
            ...

    def __dir__(self) -> list[str]:
        """Return the attributes of the function, and the methods `run` and `registration`."""
        return sorted({*dir(self.__wrapped__), "run", "registration"})

    # Without an `__exit__`, an agent is not a context manager for `isinstance`.
    def __enter__(self) -> NoReturn:
        """Raise an error that names `run`."""
        raise TypeError("an agent is not a context manager: write `with agent.run() as run:`")

    def __aenter__(self) -> NoReturn:
        """Raise an error that names `run`."""
        raise TypeError("an agent is not a context manager: write `async with agent.run() as run:`")

    def run(
        self,
        *arguments: Never,
        purpose: str | None = None,
        conversation: str | None = None,
        subject: str | None = None,
        on_behalf_of: str | None = None,
        labels: Mapping[str, object] | Collection[str] | None = None,
        resume: str | Unset = UNSET,
        traceparent: str | None = None,
    ) -> RunBlock:
        """Open a run: `with agent.run() as run:` or `async with agent.run() as run:`.

        The block yields a `Run`. Inside the block of another run, it opens a separate run. After
        the block, the outer run is current again.

        If *conversation*, *subject* or *on_behalf_of* is None, the run takes the value from the
        innermost block of `remit.about` or outer run. Each is a string of 1 to 200 characters.
        remit records what the program says and verifies nothing.

        Args:
            *arguments: None; the arguments of the agent belong to its call inside the block.
            purpose: Purpose of the run: `live`, `smoke_test` or `eval`. The default is the setting
                `purpose`.
            conversation: Identifier of the conversation that the run belongs to, such as the id of
                a chat or a ticket.
            subject: Identifier of the person whose data the run handles, such as a customer number.
            on_behalf_of: Identifier of the person who asked, such as the user of a session.
            labels: Labels by which the run can be found: a list of strings, or a mapping of names
                to values.
            resume: `Run.key` or `Run.id` of a run that was left open. The block continues that run,
                with the same conversation, subject, on_behalf_of and labels.
            traceparent: The `traceparent` from `remit.trace_headers()` in another process, if the
                run there caused this run. remit logs and ignores a malformed value.

        Raises:
            TypeError: If there are positional arguments.
            UsageError: If *purpose* is not one of the three values; if *conversation*, *subject* or
                *on_behalf_of* is not a string of 1 to 200 characters, or looks like a key, a token
                or a password; if *labels* or *resume* has the wrong type; or if *resume* is neither
                a key nor an id. Passing `None` for *resume* also raises this error.
            RunTerminated: When the block is entered, if the run to resume or an outer run was
                terminated.
        """
        if arguments:
            raise TypeError(
                "run() opens the block of a run and does not call the agent: write "
                "`with agent.run() as run: agent(...)`"
            )
        return self._self_block(
            purpose=purpose,
            conversation=conversation,
            subject=subject,
            on_behalf_of=on_behalf_of,
            labels=labels,
            traceparent=traceparent,
            **({} if isinstance(resume, Unset) else {"resume": resume}),
        )

    def registration(self) -> dict[str, object]:
        """Return the agent's registration payload, as remit sends it to the server.

        The payload contains the agent version and the schema version with its content hash. For
        each span type, it contains the parameter and result schemas, title, description, template
        and risk. Unchanged source code produces an identical payload.
        """
        return self._self_registration()

    def _self_like(self, wrapped: object, config: WrapperConfig) -> Agent[..., Any]:
        return Agent(wrapped, config, self._self_block, self._self_registration)


class AgentObject(StepObject, Agent[P, R]):
    """A decorated agent that is an object of a class with `__call__`."""


if sys.version_info < (3, 14):
    # `cls.__annotations__` of a class without annotations stores an empty dict in it, which would
    # hide those of every callable that it wraps.
    for _class in (StepFunction, StepObject, Agent, AgentObject):
        _class.__annotations__ = getattr_static(FunctionWrapper, "__annotations__")
