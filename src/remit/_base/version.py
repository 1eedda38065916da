"""The version, as a constant: reading the metadata of the distribution would cost 20 ms."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"

SDK: Final = f"remit@{__version__}"
"""Name of the SDK on the wire."""
