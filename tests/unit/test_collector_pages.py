"""Pages: where one lies in its list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from remit.collector.views.envelopes import pagination
from remit.models.envelope import Pagination


def test_the_example_of_the_published_page() -> None:
    """200 items, offset 90, ten to a page; the page's own next offset is a slip."""
    assert pagination(90, 10, 10, 200) == {
        "item_count": 200,
        "item_start": 91,
        "item_end": 100,
        "page_count": 20,
        "page_index": 10,
        "page_offset": 90,
        "page_size": 10,
        "next_page_offset": 100,
        "previous_page_offset": 80,
    }


@given(st.integers(0, 500), st.integers(1, 100), st.integers(0, 400))
def test_following_the_next_offsets_visits_every_item_once(
    first: int, size: int, total: int
) -> None:
    """From any offset, and going back comes to the beginning."""
    offset: int | None = first
    seen: list[int] = []
    while offset is not None:
        count = max(0, min(size, total - offset))
        page = Pagination.model_validate(pagination(offset, size, count, total))
        if count:
            seen += range(page.item_start, page.item_end + 1)
        assert page.page_count == (total + size - 1) // size
        offset = page.next_page_offset

    assert seen == list(range(first + 1, total + 1))
    back: int | None = first
    while back:
        previous = pagination(back, size, 0, total)["previous_page_offset"]
        assert previous is not None
        assert previous < back
        back = previous
