"""Mistakes in a declaration are said where they stand; what is declared can be copied."""

from __future__ import annotations

import copy
import inspect
import pickle
import pydoc
import re
from typing import Any, TypeAlias

import pytest

import remit
from remit.errors import DeclarationError
from remit.testing import isolated
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


class Holder:
    """Holds static methods in both orders."""

    @remit.span_type
    @staticmethod
    def outer_static(a: int) -> int:
        """Negate."""
        return -a

    @staticmethod
    @remit.span_type
    def inner_static(a: int) -> int:
        """Negate."""
        return -a


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
    with isolated(), pytest.raises(DeclarationError, match=r"of type (int|bytes); expected a text"):
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


@each("clone", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
@each("method", [Holder.outer_static, Holder.inner_static])
def test_static_methods_pickle_and_copy_as_bare_ones_do(clone: Anything, method: Anything) -> None:
    """By qualified name: there is no object that they are bound to."""
    assert clone(method)(2) == -2


@each("function", [remit.agent, remit.span_type, remit.span, remit.risk])
def test_help_shows_every_parameter(function: Anything) -> None:
    """In the signature, and each with a sentence."""
    # Bold letters are written twice.
    shown = re.sub(r".\x08", "", pydoc.render_doc(function))
    signature, _, described = shown.partition("Args:")
    for name in inspect.signature(function).parameters:
        assert f"{name}: " in signature
        assert f"\n        {name}: " in described
