"""Cases of a test as subtests: one item of the suite, and a failure for each case that fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, TypeAlias, cast

import pytest

Case: TypeAlias = Any
"""The value of the one argument, a sequence of values, or a `pytest.param` of either."""
Test: TypeAlias = Callable[..., Any]
MAX_LABEL_CHARS: Final = 80
Opening: TypeAlias = Callable[[], AbstractContextManager[Any]]


def each(
    names: str | Sequence[str],
    cases: Iterable[Case],
    *,
    ids: Callable[[Any], object] | Iterable[object] | None = None,
    **own: Opening,
) -> Callable[[Test], Test]:
    """Run a test once for each case, as subtests of one item.

    It takes what `pytest.mark.parametrize` takes. The cases share the fixtures of the item, so no
    case may change them.

    Args:
        names: The arguments that differ by case.
        cases: Their values.
        ids: What the cases are called.
        **own: Arguments that are opened for each case by a context manager, as in
            `recorder=isolated`. They are left out where the test does not take them.
    """
    arguments = names.replace(" ", "").split(",") if isinstance(names, str) else list(names)
    listed = [
        (label, dict(zip(arguments, values, strict=True)))
        for label, values in _labelled(arguments, cases, ids)
    ]

    def decorate(test: Test) -> Test:
        inner: _Table = getattr(test, "table", _Table(test, [("", {})], own))
        table = _Table(
            inner.test,
            [
                (f"{label}-{more}".strip("-"), {**values, **others})
                for label, values in listed
                for more, others in inner.cases
            ],
            {**own, **inner.own},
        )

        @wraps(test)
        def run(**fixtures: Any) -> None:
            for label, values in table.cases:
                with fixtures["subtests"].test(msg=label), ExitStack() as stack:
                    table.test(**table.arguments(fixtures, values, stack))

        @wraps(test)
        async def run_async(**fixtures: Any) -> None:
            for label, values in table.cases:
                with fixtures["subtests"].test(msg=label), ExitStack() as stack:
                    await table.test(**table.arguments(fixtures, values, stack))

        chosen: Any = run_async if inspect.iscoroutinefunction(inner.test) else run
        chosen.table = table
        chosen.__signature__ = table.signature()
        del chosen.__wrapped__  # pytest would read the test's own signature
        return cast("Test", chosen)

    return decorate


@dataclass
class _Table:
    """A test, its cases by label, and the context managers that each case opens."""

    test: Test
    cases: list[tuple[str, dict[str, object]]]
    own: dict[str, Opening]

    def arguments(
        self, fixtures: dict[str, Any], values: dict[str, object], stack: ExitStack
    ) -> dict[str, Any]:
        """Return all that the test asks for."""
        asked = inspect.signature(self.test).parameters
        opened = {name: self.own[name] for name in self.own if name in asked}
        fresh = {name: stack.enter_context(opening()) for name, opening in opened.items()}
        shared = {name: fixtures[name] for name in fixtures if name in asked}
        return {**shared, **fresh, **values}

    def signature(self) -> inspect.Signature:
        """Return what is asked of pytest: the fixtures of the test, and `subtests`."""
        signature = inspect.signature(self.test)
        given = {*self.cases[0][1], *self.own, "subtests"}
        kept = [one for one in signature.parameters.values() if one.name not in given]
        subtests = inspect.Parameter("subtests", inspect.Parameter.KEYWORD_ONLY)
        return signature.replace(parameters=[*kept, subtests])


def _labelled(
    arguments: Sequence[str],
    cases: Iterable[Case],
    ids: Callable[[Any], object] | Iterable[object] | None,
) -> Iterator[tuple[str, Sequence[object]]]:
    """Yield the label and the values of each case."""
    all_cases = list(cases)
    assert all_cases, "a test without cases passes by asserting nothing"
    labels = None if ids is None or callable(ids) else list(ids)
    for number, case in enumerate(all_cases):
        label: object = number
        values: Sequence[object]
        if isinstance(case, type(pytest.param())):
            values, label = case.values, case.id or number
        else:
            values = (case,) if len(arguments) == 1 else case
            if labels is None:
                label = "-".join(_name(value, number) for value in values)
            else:
                label = labels[number]
        if callable(ids):
            label = "-".join(str(ids(value)) for value in values)
        yield ascii(str(label))[1:-1][:MAX_LABEL_CHARS], values


def _name(value: object, number: int) -> str:
    """Return what a value is called in a label: as pytest does, its text or its name."""
    if isinstance(value, str | int | float | bool | None):
        return str(value)
    return getattr(value, "__name__", str(number))
