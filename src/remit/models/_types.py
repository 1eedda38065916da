"""The base of the wire models.

No module of this package says `from __future__ import annotations`: pydantic would compile each
annotation from its text while the module is imported.
"""

from pydantic import BaseModel, ConfigDict


class WireModel(BaseModel):
    """Base of the wire models; their validators are built at first use, to save import time."""

    model_config = ConfigDict(defer_build=True)
