"""Wire models of what the collector alone sends and reads; the others are in `remit.models`."""
