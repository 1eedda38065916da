"""Celery: tasks under the decorator that makes them, bound to the task or not."""

from __future__ import annotations

import importlib
from typing import Any, TypeAlias

import pytest

import remit
from remit.errors import DeclarationError
from remit.testing import RecordingSink, isolated
from tests.desk import agent

Anything: TypeAlias = Any

celery: Anything = importlib.import_module("celery")  # has no types
app: Anything = celery.Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.task_always_eager = True


@app.task  # type: ignore[untyped-decorator] # celery has no types
@remit.span_type
def double(a: int) -> int:
    """Double."""
    return a * 2


@app.task(bind=True)  # type: ignore[untyped-decorator] # celery has no types
@remit.span_type
def double_bound(self: Anything, a: int) -> int:
    """Double, knowing the task."""
    assert self.request.id
    return a * 2


@pytest.mark.parametrize("task", [double, double_bound], ids=["plain", "bound"])
def test_a_task_is_recorded_where_it_runs(recorder: RecordingSink, task: Anything) -> None:
    """Without the task, which is no data."""
    with agent.run():
        assert task.delay(2).get() == 4
    (span,) = recorder.spans()
    assert (span.payload, span.result) == ({"a": 2}, {"result": 4})


def test_above_a_task_the_decorator_is_told_where_to_stand() -> None:
    """A worker runs the function that the task keeps, so nothing would be recorded."""
    with isolated(), pytest.raises(DeclarationError, match=r"put it below @app\.task"):
        remit.span_type(double)
