"""Marks for parameters and fields, put into `Annotated`."""

from __future__ import annotations

from dataclasses import dataclass

from remit._base.text import choices, did_you_mean
from remit._policy.words import CATEGORIES
from remit.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Sensitive:
    """The value belongs to a data category and is redacted from every payload.

    Used as `Annotated[str, remit.Sensitive("health_and_medical")]` on a parameter, a return
    type or a field of a dataclass or model. Bare, as `Annotated[str, remit.Sensitive]`, it is of
    no category in particular.

    Args:
        category: One of the data categories of `remit.DataCategories`; empty for none of them.

    Raises:
        DeclarationError: The category is none of them.
    """

    category: str = ""

    def __post_init__(self) -> None:
        if self.category != "" and self.category not in CATEGORIES:
            raise DeclarationError(
                f"remit.Sensitive({self.category!r}): the category is unknown"
                f"{did_you_mean(self.category, CATEGORIES)}; expected {choices(CATEGORIES)}"
            )


class Skip:
    """The parameter is left out of the schema and of every payload.

    Used as `Annotated[Session, remit.Skip]`, for what a framework injects.
    """
