"""Classes of libraries that may not be loaded: looked up, never imported.

Where a library's module is not loaded, nothing is of a class that it defines.
"""

from __future__ import annotations

import sys


def loaded(module: str, *names: str) -> tuple[type, ...]:
    """Return the classes of *module* that are there by now; none if it is not loaded."""
    found = vars(sys.modules[module]) if module in sys.modules else {}
    return tuple(each for name in names if isinstance(each := found.get(name), type))
