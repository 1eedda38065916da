"""Wire models that only the collector uses; the others are in `remit.models`."""
