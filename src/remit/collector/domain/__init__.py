"""The rules of the collector, without HTTP and without SQL."""
