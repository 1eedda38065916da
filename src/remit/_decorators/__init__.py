"""The decorators `agent` and `span_type`, and the block `span`."""
