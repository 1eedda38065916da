"""The command line: `remit`, and `python -m remit`."""

from remit.cli._main import main

__all__ = ["main"]
