"""`remit.about`: gives the runs that begin inside a conversation, a subject, and who asked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, cast

from msgspec.structs import replace

from remit._base.guard import guarded
from remit._inspect.introspection import type_name
from remit._record.about import NOTHING, About, about_var, checked_text, with_texts
from remit._record.context import open_context
from remit._record.runs import about_within
from remit._runtime import process
from remit.errors import DeclarationError, UsageError

P = ParamSpec("P")
R = TypeVar("R")

_WHERE: Final = "about({}=...)"


class about:  # noqa: N801 - reads as a word: `with remit.about(conversation=...):`
    """Give the runs that begin inside a conversation, a subject, and the person who asked.

    It is a block, `with` or `async with`, or a decorator of a function or a coroutine function. Use
    it where another function or a framework opens the runs. The values hold in the current context
    and its copies, such as tasks and `asyncio.to_thread`. In another thread, use
    `remit.copy_context`.

    A run takes each value from its own arguments, then from the innermost block or outer run, then
    from the framework. An inner block adds to an outer one. remit records what the program says and
    verifies nothing.

    ```python
    with remit.about(conversation=thread, on_behalf_of=user):
        graph.invoke(question)
    ```
    """

    __slots__ = ("_about", "_outer", "_texts", "_used")

    def __init__(
        self,
        *,
        conversation: str | None = None,
        subject: str | None = None,
        on_behalf_of: str | None = None,
    ) -> None:
        """Check the values. Each is a string of 1 to 200 characters, or None.

        Args:
            conversation: Identifier of the conversation that the runs belong to, such as the id of
                a chat or a ticket.
            subject: Identifier of the person whose data the runs handle.
            on_behalf_of: Identifier of the person who asked, such as the user of a session.

        Raises:
            UsageError: If a value has the wrong type or length, or looks like a key, a token or a
                password.
            DeclarationError: If it decorates a generator function, a class, or an object that is
                not callable.
        """
        self._texts: dict[str, str] = (
            _checked(conversation=conversation, subject=subject, on_behalf_of=on_behalf_of) or {}
        )
        self._about = self._outer = NOTHING
        self._used = False

    def __enter__(self) -> None:
        """Begin the block.

        Raises:
            UsageError: It was entered before.
        """
        if self._used:
            message = "a remit.about(...) block was entered twice: create a new one for each block"
            raise UsageError(message)
        self._used = True
        self._outer = about_var.get()
        self._about = _within(self._texts)
        about_var.set(self._about)

    def __exit__(self, *exc_info: object) -> None:
        """Restore the values before, unless the consumer of a generator has its own block open."""
        if about_var.get() is self._about:
            about_var.set(self._outer)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        """End the block, as the sync form does."""
        self.__exit__(*exc_info)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function; each call has a block of its own."""
        _check_decorated(function)
        texts = self._texts

        if any(map(inspect.iscoroutinefunction, _functions_of(function))):

            @wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
                with about(**texts):
                    return await cast("Any", function(*args, **kwargs))

            return cast("Callable[P, R]", awaited)

        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
            with about(**texts):
                return function(*args, **kwargs)

        return called


@guarded("the values of a block", passes=(UsageError,))
def _checked(**values: object) -> dict[str, str]:
    off = process.redact_off()
    texts = {name: checked_text(name, value, _WHERE, off) for name, value in values.items()}
    return {name: text for name, text in texts.items() if text is not None}


@guarded("the values of a block", NOTHING)
def _within(texts: dict[str, str]) -> About:
    """Return what is said in a block: its texts, and for the others what is said around it."""
    context = open_context()
    about = with_texts(about_within(context), texts)
    return about if context is None else replace(about, run_key=context.run.feed.key)


def _functions_of(function: object) -> tuple[object, object]:
    """Return *function* and what a call of it runs, if it is an object with `__call__`."""
    return function, inspect.getattr_static(type(function), "__call__", None)


def _check_decorated(function: object) -> None:
    functions = _functions_of(function)
    is_generator = any(map(inspect.isgeneratorfunction, functions))
    if is_generator or any(map(inspect.isasyncgenfunction, functions)):
        name = getattr(function, "__qualname__", type_name(type(function)))
        raise DeclarationError(
            f"@remit.about on {name}: a generator function runs in steps, between "
            "which the values would hold for its consumer; write `with remit.about(...):` around "
            "the loop that reads the generator"
        )
    if inspect.isclass(function) or not callable(function):
        what = (
            "a class" if inspect.isclass(function) else f"an object of {type_name(type(function))}"
        )
        raise DeclarationError(
            f"@remit.about got {what}; expected a function or a coroutine function"
        )
