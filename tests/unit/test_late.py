"""Modules that are imported when something of them is first asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from remit._late import late

pytestmark = pytest.mark.python

NAME = "remit_test_late_module"
SOURCE = "import sys, os\n"


@pytest.fixture
def module(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Return the name of a module that nobody has imported."""
    folder = tmp_path_factory.mktemp("late")
    name = f"{NAME}_{folder.name}"
    (folder / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    yield name
    sys.modules.pop(name, None)


def test_a_module_is_imported_when_something_of_it_is_asked_for(module: str) -> None:
    """Not before; and it is the one that everyone else imports."""
    standing: Any = late(module)
    assert isinstance(standing, ModuleType)
    assert module not in sys.modules
    assert standing.sys is sys
    assert sys.modules[module] is import_module(module)


def test_what_changes_in_the_module_is_seen(module: str) -> None:
    """Nothing of it is kept."""
    standing: Any = late(module)
    assert standing.os is os
    vars(sys.modules[module])["os"] = None
    assert standing.os is None


def test_what_a_module_does_not_hold_is_an_attribute_error(module: str) -> None:
    """As of the module itself."""
    standing: Any = late(module)
    with pytest.raises(AttributeError, match="nothing"):
        standing.nothing  # noqa: B018 - asking is the point


def test_an_import_that_failed_is_tried_again(module: str) -> None:
    """A program that ran out of files may have some later."""
    standing: Any = late(module)
    loaded: dict[str, Any] = sys.modules
    loaded[module] = None  # so an import is made to fail
    with pytest.raises(ModuleNotFoundError):
        standing.sys  # noqa: B018 - asking is the point
    del sys.modules[module]
    assert standing.sys is sys
