"""What was declared: span types and agents, under names that last."""

from __future__ import annotations

from remit._registry._declared import AgentType, SpanType
from remit._registry._names import LOSS_TYPE, RUN_TYPE, default_name, human, module_name
from remit._registry._registry import Registry
from remit._signature import CallKind

__all__ = [
    "LOSS_TYPE",
    "RUN_TYPE",
    "AgentType",
    "CallKind",
    "Registry",
    "SpanType",
    "default_name",
    "human",
    "module_name",
]
