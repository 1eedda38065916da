"""Cases of a test as subtests: one item of the suite, and a failure for each case that fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any, TypeAlias, cast

import pytest

Case: TypeAlias = Any
"""The value of the one argument, a sequence of values, or a `pytest.param` of either."""
Test: TypeAlias = Callable[..., Any]


def each(
    names: str | Sequence[str],
    cases: Iterable[Case],
    *,
    ids: Callable[[Any], object] | Iterable[object] | None = None,
) -> Callable[[Test], Test]:
    """Run a test once for each case, as subtests of one item.

    It takes what `pytest.mark.parametrize` takes. The cases share the fixtures of the item, so no
    case may change them.
    """
    arguments = names.replace(" ", "").split(",") if isinstance(names, str) else list(names)
    listed = list(_labelled(arguments, cases, ids))

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)
        kept = [own for own in signature.parameters.values() if own.name not in arguments]
        takes_subtests = "subtests" in signature.parameters
        if not takes_subtests:
            kept.append(inspect.Parameter("subtests", inspect.Parameter.KEYWORD_ONLY))

        def with_values(fixtures: dict[str, Any], values: Sequence[object]) -> dict[str, Any]:
            given = fixtures if takes_subtests else _without(fixtures, "subtests")
            return {**given, **dict(zip(arguments, values, strict=True))}

        @wraps(test)
        def run(**fixtures: Any) -> None:  # noqa: ANN401 - whatever the test asks for
            for label, values in listed:
                with fixtures["subtests"].test(msg=label):
                    test(**with_values(fixtures, values))

        @wraps(test)
        async def run_async(**fixtures: Any) -> None:  # noqa: ANN401 - whatever the test asks for
            for label, values in listed:
                with fixtures["subtests"].test(msg=label):
                    await test(**with_values(fixtures, values))

        chosen: Any = run_async if inspect.iscoroutinefunction(test) else run
        parameters = sorted(kept, key=lambda parameter: parameter.kind)
        chosen.__signature__ = signature.replace(parameters=parameters)
        del chosen.__wrapped__  # pytest would read the test's own signature
        return cast("Test", chosen)

    return decorate


def _without(fixtures: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fixtures.items() if key != name}


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
            if labels is not None:
                label = labels[number]
        if callable(ids):
            label = "-".join(str(ids(value)) for value in values)
        yield str(label), values
