"""Annotations: one at a time, and no mark lost."""

from __future__ import annotations

import functools
import sys
import types
import typing
from typing import Annotated, Any

import pytest
import typing_extensions
from fastapi import Depends, Security
from fastapi.params import Depends as DependsMarker
from pydantic import SecretBytes, SecretStr

from remit._inspect.annotations import (
    MAX_PARTS,
    MISSING,
    NO_NAMES,
    SECRETS,
    AnnotationInfo,
    Scope,
    class_scope,
    function_scope,
    is_injected,
)
from remit._inspect.introspection import layers, unwrapped
from remit._inspect.marks import Sensitive, Skip
from tests.subtests import each

pytestmark = pytest.mark.python

HEALTH = Sensitive("health_and_medical")
Alias = typing_extensions.TypeAliasType("Alias", Annotated[str, HEALTH])
Secret = typing.NewType("Secret", SecretStr)


class Marks(typing.NamedTuple):
    """What an annotation says beside its type."""

    skip: bool = False
    category: str | None = None


def marks(info: AnnotationInfo) -> Marks:
    """Return what was read."""
    return Marks(info.skip, info.category)


class Other:
    """Not a marker, whatever its name."""


class Injecting(DependsMarker):
    """A subclass of a framework's marker."""


@each(
    ("annotation", "expected"),
    [
        pytest.param(int, Marks(), id="plain"),
        pytest.param(Annotated[int, "word"], Marks(), id="foreign metadata"),
        pytest.param(Annotated[int, Skip], Marks(skip=True), id="skip as a class"),
        pytest.param(Annotated[int, Skip()], Marks(skip=True), id="skip as an instance"),
        pytest.param(typing.Optional[Annotated[int, Skip]], Marks(skip=True), id="in a union"),  # noqa: UP045 - pyright knows no other
        pytest.param(list[Annotated[int, Skip]], Marks(), id="skip of an element is no skip"),
        pytest.param(Annotated[Other, Depends(Other)], Marks(skip=True), id="Depends"),
        pytest.param(Annotated[Other, Security(Other)], Marks(skip=True), id="Security"),
        pytest.param(Annotated[str, HEALTH], Marks(category=HEALTH.category), id="sensitive"),
        pytest.param(Annotated[str, Sensitive], Marks(category=""), id="sensitive as a class"),
        pytest.param(Annotated[str, Sensitive()], Marks(category=""), id="without a category"),
        pytest.param(
            dict[str, list[Annotated[str, HEALTH] | None]],
            Marks(category=HEALTH.category),
            id="deep in containers",
        ),
        pytest.param(Alias, Marks(category=HEALTH.category), id="in an alias"),
        pytest.param(SecretStr, Marks(category=SECRETS), id="secret type"),
        pytest.param(SecretBytes | None, Marks(category=SECRETS), id="secret type in a union"),
        pytest.param(Secret, Marks(category=SECRETS), id="secret type under a new name"),
        pytest.param(
            Annotated[SecretStr, Sensitive(), HEALTH],
            Marks(category=HEALTH.category),
            id="the first that names a category wins",
        ),
        pytest.param(typing.Literal["SecretStr"], Marks(), id="a literal is no type"),
    ],
)
def test_marks_are_found_where_they_count(annotation: object, expected: Marks) -> None:
    """`Skip` concerns the whole value, `Sensitive` and secret types count anywhere."""
    assert marks(NO_NAMES.info(annotation)) == expected


@each(
    ("annotation", "expected"),
    [
        pytest.param("Annotated[Gone, Skip]", Marks(skip=True), id="skip"),
        pytest.param("list[Annotated[Gone, Skip]]", Marks(skip=True), id="skip in a container"),
        pytest.param(
            "Annotated[Gone[int].row | None, HEALTH]", Marks(category=HEALTH.category), id="shape"
        ),
        pytest.param(
            "dict[str, Annotated[Gone('x'), HEALTH]]", Marks(category=HEALTH.category), id="deep"
        ),
        pytest.param("None | Gone", Marks(), id="no mark"),
        pytest.param("Gone +", Marks(), id="no Python at all"),
    ],
)
def test_a_mark_beside_a_missing_name_is_not_lost(annotation: str, expected: Marks) -> None:
    """Else the value would be recorded against its author's will."""
    scope = Scope({"Annotated": Annotated, "Skip": Skip}, {"HEALTH": HEALTH})
    meaning = scope.read(annotation)
    assert meaning.annotation is MISSING
    assert meaning.note is not None
    assert marks(meaning) == expected


def test_a_mark_around_a_forward_reference_is_not_lost() -> None:
    """The annotation is an object already; only a name inside it is missing."""
    meaning = NO_NAMES.read(Annotated["Gone", HEALTH])  # pyright: ignore[reportUndefinedVariable]  # noqa: F821 - missing on purpose
    assert meaning.annotation is MISSING
    assert meaning.category == HEALTH.category


def test_reading_leaves_the_users_forward_references_alone() -> None:
    """`typing` keeps what a reference was evaluated to: a stand-in must not stay in it."""
    annotation = typing.List["Later"]  # type: ignore[name-defined]  # noqa: F821, UP006 - defined below
    module: dict[str, Any] = {}
    assert Scope(module, {}).read(annotation).note is not None
    module["Later"] = int
    assert Scope(module, {}).read(annotation).annotation == typing.List[int]  # noqa: UP006 - the same type


@each(
    ("annotation", "note"),
    [
        ("Gone", "annotation `Gone` cannot be resolved: no name `Gone` at run time"),
        ("int[str]", "annotation `int[str]` cannot be resolved: TypeError"),
        ("1 +", "annotation `1 +` cannot be resolved: SyntaxError"),
        (list["Gone"], "annotation cannot be resolved: no name `Gone` at run time"),  # type: ignore[name-defined]  # noqa: F821 - missing on purpose
    ],
    ids=["name", "type", "syntax", "inside"],
)
def test_what_cannot_be_resolved_says_why(annotation: object, note: str) -> None:
    """The words are the same on every Python."""
    assert NO_NAMES.read(annotation).note == note


def test_no_annotation_is_missing_without_a_note() -> None:
    """Nothing was said, so nothing went wrong."""
    meaning = NO_NAMES.read(MISSING)
    assert (meaning.annotation, meaning.note, marks(meaning)) == (MISSING, None, Marks())


@each(
    ("marker", "expected"),
    [
        (Depends(Other), True),
        (Security(Other), True),
        (Injecting(Other), True),
        (Other(), False),
        (MISSING, False),
        (None, False),
    ],
    ids=["Depends", "Security", "subclass", "other", "missing", "none"],
)
def test_injection_is_told_by_the_markers_type(marker: object, expected: bool) -> None:
    """No framework is imported for it."""
    assert is_injected(marker) is expected


class Shelf:
    """A class whose body has names of its own."""

    class Book:
        """A name of the class."""

    def list(self, book: Book, names: list[str]) -> None:
        """Hide a builtin's name."""


def test_names_of_the_class_are_known_but_hide_no_builtin() -> None:
    """`list[str]` means the builtin beside a method called `list`."""
    scope = function_scope(Shelf.list)
    assert scope.read("Book").annotation is Shelf.Book
    assert scope.read("list[str]").annotation == list[str]


def test_free_variables_are_known_and_empty_ones_are_not() -> None:
    """A local class can be named by an annotation when the body uses it."""

    def make() -> tuple[Any, Any]:
        def used() -> object:
            return Local

        def early() -> object:
            return later

        class Local:
            """Local to the function."""

        scopes = function_scope(used), function_scope(early)
        later = 1
        return scopes

    used, early = make()
    assert used.read("Local").annotation.__qualname__.endswith("Local")
    assert early.read("later").note is not None


def test_type_parameters_are_known() -> None:
    """Functions carry them since Python 3.12."""

    def generic() -> None: ...

    parameter = typing.TypeVar("parameter")
    generic.__type_params__ = (parameter,)  # type: ignore[attr-defined]  # Python 3.12 has it
    assert function_scope(generic).read("parameter").annotation is parameter


def test_a_class_knows_itself_and_its_module() -> None:
    """Its fields may hold more of it."""
    scope = class_scope(Shelf)
    assert scope.read("Shelf | None").annotation == Shelf | None
    assert scope.read("Book").annotation is Shelf.Book
    assert scope.read("HEALTH").annotation is HEALTH


def test_a_class_without_a_module_knows_itself() -> None:
    """Classes are made by hand, too."""
    made = types.new_class("Made")
    made.__module__ = "nowhere.at.all"
    assert class_scope(made).read("Made").annotation is made
    assert "nowhere.at.all" not in sys.modules


def test_a_function_without_a_module_has_builtins_only() -> None:
    """A callable that is no function has no names of its own."""
    scope = function_scope(functools.partial(print))
    assert scope.read("int").annotation is int


def test_decorators_partials_and_methods_are_looked_through() -> None:
    """The annotations are those of the function at the bottom."""

    def bottom() -> None: ...

    @functools.wraps(bottom)
    def wrapper() -> None: ...

    assert unwrapped(functools.partial(wrapper)) is bottom
    assert unwrapped(Shelf().list) is Shelf.list


def test_a_decorator_that_wraps_itself_ends() -> None:
    """A cycle is no reason to hang."""

    def looping() -> None: ...

    looping.__wrapped__ = looping  # type: ignore[attr-defined]  # what a broken decorator does
    assert unwrapped(looping) is looping


def test_the_layers_of_a_callable_are_those_of_decorators_binding_and_partials() -> None:
    """Outermost first; an object's `__call__` is no layer of the object."""

    def bottom() -> None: ...

    wrapper = functools.wraps(bottom)(lambda: None)
    outer = functools.partial(wrapper)
    assert list(layers(outer)) == [outer, wrapper, bottom]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="only on Python 3.12 and later: `type`")
@each(
    ("alias", "expected"),
    [
        pytest.param("type Alias = Gone", Marks(), id="a missing name"),
        pytest.param("type Alias = dict[str, tuple[Alias, int]]", Marks(), id="of itself"),
        pytest.param("type Alias = tuple[Alias, Secret]", Marks(category=SECRETS), id="a secret"),
    ],
)
def test_an_alias_is_read_when_it_is_asked(alias: str, expected: Marks) -> None:
    """Its value may be missing, and may contain the alias."""
    names: dict[str, Any] = {"Secret": SecretStr}
    exec(alias, names)
    assert marks(NO_NAMES.info(names["Alias"])) == expected


def test_an_annotation_that_is_too_large_to_read_redacts() -> None:
    """There may be a mark in the rest of it."""
    made = typing.cast("Any", typing.Union)[tuple(type(f"C{n}", (), {}) for n in range(MAX_PARTS))]
    assert NO_NAMES.info(made).category == ""
