"""The context variable: holds the run and the span in which code is executing.

Values are set and restored by value, never by a token: a coroutine, a `with` block or a
generator may be resumed, closed or collected in another context, where a token's reset raises.
If the variable does not hold our value any more, it is left alone.

contextvars-extras declares the variable; the hot path uses the raw one's methods, at full speed.
"""

from __future__ import annotations

import contextvars
from typing import Final

from contextvars_extras import ContextVarsRegistry


class Ambient(ContextVarsRegistry):
    """The one variable; it holds a small record of ids, never a payload.

    Attributes:
        context: Run and span in one (`runs.SpanContext`), so that they never disagree.
    """

    _registry_allocate_on_setattr = False

    context: object = None


context_var: Final[contextvars.ContextVar[object]] = vars(Ambient)["context"].context_var

# As functions: CPython 3.11 makes an object of each method of something that was imported, for
# every call of it (0.05 us).
get_context: Final = context_var.get
set_context: Final = context_var.set
