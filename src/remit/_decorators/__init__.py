"""The decorators: `agent`, `span_type`, and the block `span`; what carries their context."""

from remit._decorators._agent import agent
from remit._decorators._propagation import ContextExecutor, copy_context
from remit._decorators._span import span
from remit._decorators._span_type import span_type
from remit._decorators._wrappers import Agent

__all__ = ["Agent", "ContextExecutor", "agent", "copy_context", "span", "span_type"]
