"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

db_option = click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Database file; without it that of local mode.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
