"""Capture: arguments and results as bounded, redacted JSON, without running user code."""
