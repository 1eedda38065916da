# Types of the part that remit uses; the package ships none and is no longer developed.
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import ClassVar, Generic, Self, TypeVar, overload

__all__ = ["ContextVarDescriptor", "ContextVarsRegistry"]

_T = TypeVar("_T")

class ContextVarDescriptor(Generic[_T]):
    name: str
    context_var: ContextVar[_T]
    def __init__(
        self,
        name: str | None = None,
        default: _T = ...,
        deferred_default: Callable[[], _T] | None = None,
    ) -> None: ...
    @overload
    def __get__(self, owner_instance: None, owner_cls: type) -> Self: ...
    @overload
    def __get__(self, owner_instance: object, owner_cls: type) -> _T: ...
    def __set__(self, owner_instance: object, value: _T) -> None: ...
    def get(self) -> _T: ...
    def set(self, value: _T) -> Token[_T]: ...
    def reset(self, token: Token[_T]) -> None: ...

class ContextVarsRegistry:
    _registry_allocate_on_setattr: ClassVar[bool]
