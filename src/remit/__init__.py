"""remit: say what an AI agent may do and with whose data, and see what it did.

Decorate functions with `span_type`, the one that answers with `agent`, and run it in
`with agent.run():`. Everything else follows: schemas, registration, spans, delivery.
"""

from typing import TYPE_CHECKING

from remit import errors
from remit._decorators import ContextExecutor, agent, copy_context, span, span_type
from remit._late import late
from remit._marks import Sensitive, Skip
from remit._risk import risk
from remit._runs import current_run
from remit._runtime import aflush, configure, flush, shutdown, status
from remit._spans import current_span

if TYPE_CHECKING:
    from remit.models.data_risk import ActionProfile, DataCategories, DataRisk

__all__ = [
    "ActionProfile",
    "ContextExecutor",
    "DataCategories",
    "DataRisk",
    "Sensitive",
    "Skip",
    "aflush",
    "agent",
    "configure",
    "copy_context",
    "current_run",
    "current_span",
    "errors",
    "flush",
    "risk",
    "shutdown",
    "span",
    "span_type",
    "status",
]
_models = late("remit.models.data_risk")
_MODELS = frozenset({"ActionProfile", "DataCategories", "DataRisk"})


def __getattr__(name: str) -> object:
    """Return a model, imported when it is named: to make one takes half of pydantic."""
    if name not in _MODELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(_models, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the names that are there, those of the models too."""
    return sorted({*globals(), *_MODELS})
