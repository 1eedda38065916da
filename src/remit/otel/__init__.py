"""OpenTelemetry: records spans of other instrumentations as steps, and exports remit's spans.

If a framework has OpenTelemetry instrumentation, its spans become remit spans:

```python
from remit.otel import Bridge

tracer_provider.add_span_processor(Bridge())  # Bridge(enforce=True) also denies and stops
```

`remit.configure(span_processor=...)` passes every ended span to a span processor.
"""

from remit.otel.bridge import Bridge

__all__ = ["Bridge"]
