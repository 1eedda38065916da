"""The HTTP library of the clients: httpx2 where it is importable, else httpx.

httpx2 continues httpx under the same names. A program that uses it, for instance through a model
client, then loads only one HTTP library. A transport may be of either library.

httpx imports httpcore at the first request, and a host look-up imports encodings.idna. Both would
happen on the sender's thread, and a process may fork during an import.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import httpx as httpx
else:
    try:
        import httpcore2  # noqa: F401
        import httpx2 as httpx
    except ImportError:
        import httpcore  # noqa: F401
        import httpx

LIBRARIES: Final = ("httpx", "httpx2")


def error_types(*kinds: str | type[Exception]) -> tuple[type[Exception], ...]:
    """Return types of exceptions; a string is the name of one in each loaded HTTP library."""
    types: list[type[Exception]] = []
    for kind in kinds:
        if isinstance(kind, str):
            types += [getattr(library, kind) for library in _loaded(kind)]
        else:
            types.append(kind)
    return tuple(types)


def library_of(transport: object) -> Any:
    for library in _loaded("BaseTransport", "AsyncBaseTransport"):
        if isinstance(transport, library.BaseTransport | library.AsyncBaseTransport):
            return library
    return httpx


def _loaded(*names: str) -> list[Any]:
    """Return the loaded libraries that have *names*; a half-imported one may not."""
    found = [httpx, *map(sys.modules.get, LIBRARIES)]
    return [each for each in found if all(hasattr(each, name) for name in names)]
