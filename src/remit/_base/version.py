"""The version, and the header that names the SDK and its adapters.

The version is a constant, because reading the metadata of the distribution would take 20 ms.
"""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"

SDK: Final = f"remit@{__version__}"
"""Name of the SDK on the wire."""

adapter_names: Final[list[str]] = []
"""Names of the adapters in use, outermost first."""


def add_adapter(name: str) -> None:
    """Name an adapter, such as `remit-langchain@0.1.0`, in the header of later requests."""
    if name not in adapter_names:
        adapter_names.insert(0, name)


def sdk_header() -> str:
    """Return the names of the adapters in use and of the SDK, outermost first."""
    return " ".join((*adapter_names, SDK))
