"""Laws of violations in payloads."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from remit.errors import DeniedError, Violation
from tests.inside import Rules, denial_payload, fields_of, violations
from tests.violating import violation

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = [*Violation.__struct_fields__, "else"]
WORDS = st.sampled_from([*fields_of(violation("a:step", "a:b", "destroy_data")).values(), "else"])
ITEMS = JSON | st.dictionaries(st.sampled_from(FIELDS), WORDS | JSON)
WRITTEN = st.lists(
    st.builds(Violation, st.text(max_size=50))
    | st.builds(violation, st.text(max_size=9), st.text(max_size=9), st.just("destroy_data")),
    max_size=4,
)


@given(st.lists(ITEMS, max_size=200) | JSON)
def test_any_list_is_read_within_bounds(listed: object) -> None:
    """A violation has a sentence; a name of the policy comes with all its other words."""
    result = violations.denied_by({"error": {"violations": listed}})
    assert result == violations.violations_in({"$remit": {"violations": listed}})
    assert (result is None) == (not isinstance(listed, list))
    assert len(result or ()) <= violations.MAX_VIOLATIONS
    for found in result or ():
        others = (found.part, found.name, found.word, found.limit)
        assert others in {
            ("", "", "", ""),
            ("action_profile", "destroy_data", "allowed", "disallowed"),
        }


@given(WRITTEN)
def test_what_is_written_is_read(written: list[Violation]) -> None:
    """In the error of a denied step, and in the note of one that ran."""
    denied = json.loads(denial_payload(DeniedError("a:step", written), Rules()))
    assert violations.denied_by(denied) == tuple(written)
    noted = json.loads(violations.add_violations(b'{"n":1}', written))
    assert violations.split_violations(noted) == ({"n": 1}, tuple(written))
