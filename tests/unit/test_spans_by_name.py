"""`recorder.spans(name)`: a name that no step has is an error, not an empty list."""

from __future__ import annotations

import pytest

import remit
from remit.errors import UsageError
from remit.testing import RecordingSink, isolated


def declare() -> None:
    """Declare two steps and an agent, none of which is called."""

    @remit.span_type("shop:charge")
    def charge() -> None:
        """Take money."""

    @remit.span_type
    def refund() -> None:
        """Give it back."""

    @remit.agent
    def till() -> None:
        """Serve a customer."""


@pytest.mark.parametrize("name", ["shop:charge", "charge", "refund", "till"])
def test_a_declared_step_that_was_not_called_has_no_spans(name: str) -> None:
    """Also after the block in which it was declared."""
    with isolated() as recorder:
        declare()
        assert recorder.spans(name) == []
    assert recorder.spans(name) == []


@pytest.mark.parametrize("name", ["chrage", "shop:chrage"])
def test_a_misspelt_name_is_an_error_that_names_the_step(name: str) -> None:
    """`== []` passed whatever happened."""
    with isolated() as recorder:
        declare()
    with pytest.raises(UsageError, match=f"'{name}'.*did you mean '.*charge") as raised:
        recorder.spans(name)
    assert "refund" not in str(raised.value)


def test_a_name_like_no_other_is_an_error(recorder: RecordingSink) -> None:
    """It says what names there are."""
    with pytest.raises(UsageError, match="no declared step and no recorded block has the name"):
        recorder.spans("xylophone")
    with pytest.raises(UsageError, match="name ''"):
        recorder.spans("")


def test_a_block_has_a_name_as_soon_as_it_ran(recorder: RecordingSink) -> None:
    """Nothing declares it before."""

    @remit.agent
    def till() -> None:
        """Serve a customer."""

    with pytest.raises(UsageError, match="'plan'"):
        recorder.spans("plan")
    with till.run(), remit.span("plan"):
        pass
    assert [span.name for span in recorder.spans("plan")] == ["plan"]
    with pytest.raises(UsageError, match="did you mean 'plan'"):
        recorder.spans("plans")
