"""Words that several wire models share."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

# The published models have plain `dict` at run time; type checkers get the precise form.
if TYPE_CHECKING:
    JsonObject: TypeAlias = dict[str, Any]
else:
    JsonObject: TypeAlias = dict

SpanStatus: TypeAlias = Literal["pending", "active", "complete", "failed", "cancelled"]
"""Status of a span that a client sends."""

AgentStatus: TypeAlias = Literal[
    "pending", "active", "complete", "failed", "cancelled", "terminated"
]
"""Status of an instance, or of a span in an answer, as the published clients read both."""

FinishStatus: TypeAlias = Literal["complete", "failed", "cancelled"]
"""Status that ends a span or an instance; absent means `complete`."""

Purpose: TypeAlias = Literal["live", "smoke_test", "eval"]
"""Purpose of an instance; absent means `live`."""
