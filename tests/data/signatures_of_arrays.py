# The functions are data: they are read, never called, and their shape is the point of each.
# ruff: noqa: D103, PLR0913, PLR0917
# mypy: disable-error-code="empty-body, import-untyped, type-arg"
# pyright: basic, reportInvalidTypeForm=false, reportGeneralTypeIssues=false
"""Signatures made of numpy's and pandas' classes, which the extra `test-gate` installs.

`python -m tests.data.signatures_of_arrays` writes their golden files anew.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.data.corpus import GOLDEN, golden_text


def arrays(
    a: np.ndarray,
    b: npt.NDArray[np.float64],
    c: np.int64,
    d: np.float32,
    e: np.bool_,
    f: np.str_,
    g: np.floating[Any],
    h: list[np.ndarray] | None,
    i: np.dtype[np.float64],
) -> np.ndarray: ...


def frames(
    a: pd.DataFrame, b: pd.Series, c: pd.Index, d: pd.Timestamp, e: dict[str, pd.DataFrame]
) -> pd.DataFrame: ...


def frame_or_number(a: pd.DataFrame | float) -> pd.Series | int: ...


CASES: tuple[Callable[..., object], ...] = (arrays, frames, frame_or_number)
FOLDER = GOLDEN / "arrays"

if __name__ == "__main__":
    for case in CASES:
        (FOLDER / f"{case.__name__}.json").write_text(golden_text(case))
