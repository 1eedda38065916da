"""The wire models of the Prefactor API, as the SDK sends them and the collector answers them.

There is one module for each resource: `agent_instance`, `agent_span`, `agent`, `bulk`; `envelope`
for the common parts of answers, `data_risk` and `risk` for the parts about risk. Unknown keys are
ignored, so that newer servers and clients may add keys; classes that keep them say so.
"""

from __future__ import annotations
