"""OpenTelemetry: records the spans of other instrumentation as steps, and exports those of remit.

The spans of a framework that has OpenTelemetry instrumentation become spans of remit:

```python
from remit.otel import Bridge

tracer_provider.add_span_processor(Bridge())  # Bridge(enforce=True) also denies and stops
```

`remit.configure(span_processor=...)` hands every ended span to a span processor.
"""

from remit.otel.bridge import Bridge

__all__ = ["Bridge"]
