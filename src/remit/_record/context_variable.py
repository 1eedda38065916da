"""The context variable: holds the run and the span in which code is executing.

It is set and restored by value, never by a token: a coroutine, a `with` block or a generator may
be resumed, closed or collected in another context, where resetting by a token raises. If the
variable holds another value by then, it is left as it is.

contextvars-extras declares the variable; the hot path uses the methods of the raw variable.
"""

from __future__ import annotations

import contextvars
from typing import Final

from contextvars_extras import ContextVarsRegistry


class Ambient(ContextVarsRegistry):
    """Declares the variable.

    Attributes:
        context: The current run and span (`remit._record.runs.SpanContext`), or None.
    """

    _registry_allocate_on_setattr = False

    context: object = None


context_var: Final[contextvars.ContextVar[object]] = vars(Ambient)["context"].context_var

# As functions: CPython 3.11 creates a method object for every call of a method of an imported
# object (0.05 us).
get_context: Final = context_var.get
set_context: Final = context_var.set
