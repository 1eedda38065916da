"""The decorators `agent` and `span_type`, the block `span`, and the propagation of context."""

from remit._decorators.agent import agent
from remit._decorators.span import span
from remit._decorators.span_type import span_type
from remit._record.wrappers import Agent

__all__ = ["Agent", "agent", "span", "span_type"]
