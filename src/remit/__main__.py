"""`python -m remit` is the command line."""

from __future__ import annotations

from remit.cli import main

if __name__ == "__main__":
    main(prog_name="python -m remit")
