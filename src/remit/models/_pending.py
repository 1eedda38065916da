"""A declared data risk, before the models are there that it is one of.

A data risk is a pydantic model, and to make the first model is to import half of pydantic, which
takes longer than all of remit. A program that only declares has no use of that. So `remit.risk()`
keeps the words, and what it returns becomes a `DataRisk` where it stands, the same object, as soon
as the models are imported: because someone names `remit.DataRisk`, or by the first touch. To ask
for nothing but its class, as `isinstance` does, is answered as the model would, and makes it one at
the next touch.

Python lets an object change its class if both lay out their instances alike.
`tests/unit/test_pending.py` compares the layout with pydantic's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard

from remit._guard import attempt
from remit._late import late

if TYPE_CHECKING:
    from remit.models import data_risk as models
else:
    models = late("remit.models.data_risk")

Words: TypeAlias = Mapping[str, Mapping[str, Any]]
"""By part of a data risk, the word of each action or category; `unknown` where none stands."""

MAX_PENDING: Final = 1_000
"""With one more than this the models are imported: some programs declare at each call."""

_WORDS: Final = "words"
_MODEL: Final = "model"
_BESIDE_FIELDS: Final = (
    "__pydantic_extra__",
    "__pydantic_fields_set__",
    "__pydantic_private__",
)
_own: Final = object.__getattribute__
_put: Final = object.__setattr__


class PendingRisk:
    """A data risk until it is touched: then it is a `DataRisk`, and does what was asked of it."""

    __slots__ = ("__dict__", *_BESIDE_FIELDS)
    __hash__ = None  # type: ignore[assignment] # as that of a model that can be changed

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - whatever the model has
        return _class_of(self) if name == "__class__" else getattr(_settled(self), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_settled(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_settled(self), name)

    def __dir__(self) -> list[str]:
        return dir(_settled(self))

    def __eq__(self, other: object) -> bool:
        mine = words_of(self)
        # A function that is decorated in another's body declares the same at each call.
        if mine is not None and mine == words_of(other):
            return True
        same: bool = _settled(self) == other
        return same

    def __repr__(self) -> str:
        return repr(_settled(self))

    def __str__(self) -> str:
        return str(_settled(self))

    def __iter__(self) -> Iterator[Any]:
        return iter(_settled(self))

    def __copy__(self) -> object:
        return copy.copy(_settled(self))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> object:
        return copy.deepcopy(_settled(self), memo)

    def __reduce_ex__(self, protocol: Any) -> Any:  # noqa: ANN401 - as that of object
        return _settled(self).__reduce_ex__(protocol)


class _State:
    """What waits for the models, and what they brought."""

    def __init__(self) -> None:
        self.waiting: dict[int, PendingRisk] = {}
        self.kind: type | None = None
        self.make: Callable[[Words], models.DataRisk] | None = None
        self.alike = False

    def is_ready(self) -> bool:
        """Return whether the models are imported; another thread may have done it just now."""
        return self.make is not None


_state: Final = _State()


def declared(words: Words) -> models.DataRisk:
    """Return a data risk with *words*, which are known to be right."""
    if _state.make is not None:
        return _state.make(words)
    risk: Any = PendingRisk()
    _own(risk, "__dict__")[_WORDS] = words
    _state.waiting[id(risk)] = risk
    # Settled by nobody else if the models came before this was among those that wait.
    if _state.is_ready() or len(_state.waiting) > MAX_PENDING:
        _settled(risk)
    waiting: models.DataRisk = risk
    return waiting


def words_of(risk: object) -> Words | None:
    """Return the words of a data risk that is no model yet, None for anything else."""
    if type(risk) is not PendingRisk:
        return None
    own = _own(risk, "__dict__")
    words: Words | None = None if _MODEL in own else own.get(_WORDS)
    return words


def is_model(risk: object) -> TypeGuard[models.DataRisk]:
    """Return whether *risk* is a model of a data risk; without the models nothing is."""
    return _state.kind is not None and isinstance(risk, _state.kind)


def settle_all(kind: type, make: Callable[[Words], models.DataRisk]) -> None:
    """Make models of all that wait, and of all to come; the module of the models calls it.

    Args:
        kind: The class that they become.
        make: Makes one from its words.
    """
    changed = attempt(lambda: _put(PendingRisk(), "__class__", kind))
    _state.alike = not isinstance(changed, TypeError)
    _state.kind, _state.make = kind, make
    # Another thread may take one out meanwhile, which is at it itself; what comes sees the models.
    for key in list(_state.waiting):
        risk = _state.waiting.pop(key, None)
        if risk is not None:
            _settle(risk)


def _class_of(risk: PendingRisk) -> type:
    """Return the class that *risk* is of at the next touch; not at this one.

    `isinstance` comes here. It has found that the type is another, and counts what it is told as an
    answer only if that is not the type of the object now.
    """
    _state.waiting.pop(id(risk), None)
    _ = models.DataRisk
    kind: Any = _state.kind
    if type(risk) is PendingRisk:
        return kind  # type: ignore[no-any-return]  # the class, which is set by now

    class Same(kind):  # type: ignore[misc]  # known only while the program runs
        """Another thread has touched it just now."""

    return Same


def _settled(risk: PendingRisk) -> Any:  # noqa: ANN401 - a model, which is not imported here
    """Return *risk* become a model, whoever it was that made it one."""
    _ = models.DataRisk
    return _settle(risk)


def _settle(risk: Any) -> Any:  # noqa: ANN401 - of either class
    """Have *risk* become a model, and return it.

    Several threads may be here with it at once, and none waits for another: each step is one under
    the interpreter's lock, and all of them put the same objects in the same places.

    A pydantic that lays out its models otherwise than those we know leaves *risk* what it is: then
    the model is returned that stands behind it, and answers for it in all but `type()`.
    """
    if type(risk) is not PendingRisk or _state.kind is None or _state.make is None:
        return risk
    own = _own(risk, "__dict__")
    words = own.get(_WORDS)
    if words is not None:
        model = own.setdefault(_MODEL, _state.make(words))
        if not _state.alike:
            return model
        for name in _BESIDE_FIELDS:
            _put(risk, name, _own(model, name))
        # Last: without words there, all else is in its place.
        _put(risk, "__dict__", _own(model, "__dict__"))
    _put(risk, "__class__", _state.kind)
    return risk
