"""Test your agent: record runs and spans in memory, set the clock, send nothing.

```python
from remit.testing import isolated

with isolated() as recorder:
    support("where is order 7?")
assert recorder.tree() == ...
```
"""

from remit.testing._recording import (
    FakeClock,
    RecordedRun,
    RecordedSpan,
    RecordingSink,
    isolated,
)

__all__ = ["FakeClock", "RecordedRun", "RecordedSpan", "RecordingSink", "isolated"]
