"""What a slow module starts is not traced line by line, which takes it three times as long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.untraced import UNTRACED


@pytest.fixture(autouse=True, scope="module")
def _fast_children(request: pytest.FixtureRequest) -> Iterator[None]:
    """Switch coverage off in the processes of a slow module; the others reach the same lines."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("slow") is not None:
            for name, value in UNTRACED.items():
                patch.setenv(name, value)
        yield
