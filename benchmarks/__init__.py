"""Measurements: remit beside its peers, in one run, in fresh processes."""
