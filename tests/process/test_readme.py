"""The blocks of the README, pasted at a prompt as a newcomer pastes them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.subtests import each

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = [
    (introduction, block)
    for introduction, block in re.findall(r"([^\n]*)\n\n```python\n(.*?)```", README, re.DOTALL)
]


@pytest.mark.smoke
@each("number", range(len(BLOCKS)))
def test_a_block_of_python_runs_alone_or_says_that_it_continues(
    number: int, tmp_path: Path
) -> None:
    """An empty line inside a `with` block ends it at Python's plain prompt."""
    blocks = [block for _, block in BLOCKS[: number + 1]]
    while len(blocks) > 1 and "continue" not in BLOCKS[number][0]:
        del blocks[0]
    pasted = subprocess.run(
        [sys.executable, "-i", "-q"],
        input="\n".join(blocks) + "\nprint('pasted')\n",
        env={**os.environ, "HOME": str(tmp_path), "REMIT_EXIT_TIMEOUT_S": "60"},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Error" not in pasted.stderr
    assert pasted.stdout == "pasted\n"
