"""Mistakes in a declaration are said where they stand; what is declared can be copied."""

from __future__ import annotations

import inspect
import pydoc
import re
from typing import Any, TypeAlias

import pytest

import remit
from remit.errors import DeclarationError
from remit.testing import RecordingSink, isolated
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


@each("name", ["x" * 1001, "nul\0", "half\ud800", "", " ", 5, None])
def test_a_block_with_a_name_that_no_server_takes_is_an_error_at_once(name: Anything) -> None:
    """Such a name in a registration would have every later run refused."""
    with isolated(), pytest.raises(DeclarationError, match="expected"):
        remit.span(name)


@each(
    "options",
    [{"template": 5}, {"title": 5}, {"description": b"x"}],
    ids=["template", "title", "description"],
)
def test_an_option_that_is_no_text_is_an_error_at_the_decoration(options: Anything) -> None:
    """The error names the function, the argument and what was seen."""
    with (
        isolated(),
        pytest.raises(DeclarationError, match=r"of type (int|bytes); expected a string"),
    ):
        remit.span_type(**options)(lambda: None)


@each(
    "options",
    [{"version": 5}, {"agent_id": 5}, {"quality": 5}, {"span_types": 5}, {"span_types": "a"}],
    ids=["version", "agent_id", "quality", "span_types", "one-text"],
)
def test_an_agents_option_of_a_wrong_type_is_an_error_at_the_decoration(options: Anything) -> None:
    """The error names the argument and what was seen."""
    with isolated(), pytest.raises(DeclarationError, match=r"of type (int|str); expected a"):
        remit.agent(**options)(lambda: None)


@each("function", [remit.agent, remit.span_type, remit.span, remit.risk])
def test_help_shows_every_parameter(function: Anything) -> None:
    """In the signature, and each with a sentence."""
    # Bold letters are written twice.
    shown = re.sub(r".\x08", "", pydoc.render_doc(function))
    signature, _, described = shown.partition("Args:")
    for name in inspect.signature(function).parameters:
        assert f"{name}: " in signature
        assert f"\n        {name}: " in described


def test_two_agents_of_one_display_name_are_logged_once(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """The first argument of `agent` is a display name, unlike that of `span_type`."""

    def declare(name: str | None) -> Anything:
        @remit.agent(name)
        def first() -> None:
            """Answer."""

        return first

    @remit.agent("support")
    def other() -> None:
        """Answer as well."""

    declare(None)
    assert caplog.messages == []
    for _ in range(2):
        first = declare("support")
    (line,) = caplog.messages
    assert "two agents have the display name 'support'" in line
    for agent in (first, other):
        assert f"{agent.__module__}:{agent.__qualname__}" in line
        agent()
    assert len({run.agent for run in recorder.runs}) == 2
