"""remit: say what an AI agent may do and with whose data, and see what it did.

Decorate functions with `span_type`, the one that answers with `agent`, and run it in
`with agent.run():`. Everything else follows: schemas, registration, spans, delivery.
"""

from remit import errors
from remit._declare.limits import limits
from remit._declare.risk import risk
from remit._decorators.about import about
from remit._decorators.agent import agent
from remit._decorators.span import span
from remit._decorators.span_type import span_type
from remit._inspect.marks import Sensitive, Skip
from remit._record.approvals import ApprovalRequest, Approved, Refused
from remit._record.blocks import current_run, current_span, trace_headers
from remit._record.propagation import ContextExecutor, copy_context
from remit._runtime.process import aflush, configure, flush, shutdown, status
from remit.models.data_risk import ActionProfile, DataCategories, DataRisk

__all__ = [
    "ActionProfile",
    "ApprovalRequest",
    "Approved",
    "ContextExecutor",
    "DataCategories",
    "DataRisk",
    "Refused",
    "Sensitive",
    "Skip",
    "about",
    "aflush",
    "agent",
    "configure",
    "copy_context",
    "current_run",
    "current_span",
    "errors",
    "flush",
    "limits",
    "risk",
    "shutdown",
    "span",
    "span_type",
    "status",
    "trace_headers",
]
