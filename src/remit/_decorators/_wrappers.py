"""The decorated callables: wrapt wrappers that still pass for the bare function.

wrapt keeps `inspect.is*function`, signatures, methods, static and class methods in both orders
and `super()`. Added here: pickling and copying by qualified name, bound and unbound.
"""

from __future__ import annotations

import copy
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

from wrapt import BoundFunctionWrapper, FunctionWrapper

from remit._decorators._calls import Wrapper
from remit._runs import RunBlock

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:  # the classes take no parameters when the program runs
    _Function = FunctionWrapper[..., Any]
    _Bound = BoundFunctionWrapper[..., Any]
else:
    _Function, _Bound = FunctionWrapper, BoundFunctionWrapper


class BoundStep(_Bound):
    """A decorated method, bound to its object."""

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        """Pickle as a bare bound method does, by object and name; a static one by its place."""
        if not hasattr(self, "__self__"):
            return pkgutil.resolve_name, (f"{self.__module__}:{self.__qualname__}",)
        return getattr, (self.__self__, self.__name__)

    def __copy__(self) -> object:
        """Copy as a bare bound method does: bound to the same object."""
        return getattr(self.__self__, self.__name__) if hasattr(self, "__self__") else self

    def __deepcopy__(self, memo: dict[int, object]) -> object:
        """Copy as a bare bound method does: bound to a copy of the object."""
        if not hasattr(self, "__self__"):
            return self
        return getattr(copy.deepcopy(self.__self__, memo), self.__name__)


class StepFunction(_Function):
    """A function decorated with `@remit.span_type`."""

    __bound_function_wrapper__ = BoundStep

    def __reduce_ex__(self, protocol: object) -> str:
        """Pickle as a bare function does: by its qualified name."""
        return str(self.__qualname__)

    def __copy__(self) -> Self:
        """Copy as a bare function does: it is its own copy."""
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Copy as a bare function does: it is its own copy."""
        return self


class BoundAgent(BoundStep):
    """A decorated method of an agent, bound to its object."""

    @property
    def run(self) -> Callable[..., RunBlock]:
        """The block of a run, as `Agent.run`."""
        return self._self_parent.run  # type: ignore[no-any-return]

    @property
    def registration(self) -> Callable[[], dict[str, object]]:
        """The registration, as `Agent.registration`."""
        return self._self_parent.registration  # type: ignore[no-any-return]


class Agent(StepFunction, Generic[P, R]):
    """A function decorated with `@remit.agent`: still the function, and more.

    Calling it outside a run opens one around the call; inside a run it is a span of that run.
    """

    __bound_function_wrapper__ = BoundAgent

    def __init__(
        self,
        function: Any,  # noqa: ANN401 - a function, or a static or class method of one
        wrapper: Wrapper,
        block: Callable[[str | None, str | None, object, str | None], RunBlock],
        registration: Callable[[], dict[str, object]],
    ) -> None:
        """Wrap *function*; the two callables come from the declaration."""
        super().__init__(function, wrapper)
        self._self_block = block
        self._self_registration = registration

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the function, in a run of its own if there is none."""
            ...

    def run(
        self,
        *,
        purpose: str | None = None,
        subject: str | None = None,
        labels: object = None,
        resume: str | None = None,
    ) -> RunBlock:
        """Return the block of a run: `with agent.run() as run:` or `async with`.

        Inside another run it is a separate run; the outer one is current again after it.

        Args:
            purpose: `live`, `smoke_test` or `eval`; None takes the setting.
            subject: Whose data the run is about, in your own words.
            labels: Words, or a mapping of words, to find the run by.
            resume: Id of an instance left open, to go on with.

        Raises:
            UsageError: The purpose is none of the three.
        """
        return self._self_block(purpose, subject, labels, resume)

    def registration(self) -> dict[str, object]:
        """Return the complete registration payload, JSON-able and the same for the same source.

        It holds the agent's version, its schema version under the hash of its content, and one
        entry for each span type: params and result schema, title, description, template, risk.
        """
        return self._self_registration()
