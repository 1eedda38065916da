"""The decorators `agent` and `span_type`, the block `span`, and the propagation of context."""

from remit._decorators.agent import agent
from remit._decorators.span import span
from remit._decorators.span_type import span_type
from remit._record.propagation import ContextExecutor, copy_context
from remit._record.wrappers import Agent

__all__ = ["Agent", "ContextExecutor", "agent", "copy_context", "span", "span_type"]
