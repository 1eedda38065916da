"""Words that several of the wire models use; without pydantic, for those who need a word alone."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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
