"""The base of the wire models, and the words that several of them share.

No module of this package says `from __future__ import annotations`: pydantic would compile each
annotation from its text while the module is imported.
"""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict


class WireModel(BaseModel):
    """Base of the wire models; their validators are built at first use, to save import time."""

    model_config = ConfigDict(defer_build=True)


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
