"""What the wire models share: their base, and the words that several of them use.

No module of this package says `from __future__ import annotations`: pydantic would compile each
annotation from its text while remit is imported, 5 ms of 43.
"""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

# The published models say plain `dict`: so do ours at run time, and type checkers see the rest.
if TYPE_CHECKING:
    JsonObject: TypeAlias = dict[str, Any]
else:
    JsonObject: TypeAlias = dict

SpanStatus: TypeAlias = Literal["pending", "active", "complete", "failed", "cancelled"]
"""Where a span can stand (CONTRACT.md section 8)."""

AgentStatus: TypeAlias = Literal[
    "pending", "active", "complete", "failed", "cancelled", "terminated"
]
"""Where an instance can stand; the published clients read spans with the same words."""

FinishStatus: TypeAlias = Literal["complete", "failed", "cancelled"]
"""How something can be finished; absent means `complete`."""

Purpose: TypeAlias = Literal["live", "smoke_test", "eval"]
"""Why an instance ran; absent means `live`."""


class WireModel(BaseModel):
    """Base of the wire models: built at first use, which saves import time."""

    model_config = ConfigDict(defer_build=True)
