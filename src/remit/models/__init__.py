"""The wire models of the Prefactor API, as the SDK sends them and the collector answers them.

One module for each resource: `agent_instance`, `agent_span`, `agent`, `bulk`, and `envelope` for
what answers have in common. Unknown keys are ignored, so that a newer server or client may add
some; where they are kept, the class says so.
"""

from __future__ import annotations
