"""The ambient context: in which run and under which span a call stands, here and nowhere else.

Values are set and restored by value, never by a token: a coroutine, a `with` block or a
generator may be resumed, closed or collected in another context, where a token's reset raises.
At exit, if the variable still holds ours, the previous value is set; else it is left alone.

contextvars-extras declares the variable; the hot path uses the raw one's methods, at full speed.
"""

from __future__ import annotations

import contextvars
from typing import Final

from contextvars_extras import ContextVarsRegistry


class Ambient(ContextVarsRegistry):
    """The one variable; it holds a small record of ids, never a payload.

    Attributes:
        place: Run and span in one (`remit._recording.Place`), so that they never disagree.
    """

    _registry_allocate_on_setattr = False

    place: object = None


place_var: Final[contextvars.ContextVar[object]] = vars(Ambient)["place"].context_var

# As functions: CPython 3.11 makes an object of each method of something that was imported, for
# every call of it (0.05 us).
get_place: Final = place_var.get
set_place: Final = place_var.set
