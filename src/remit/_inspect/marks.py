"""Marks for parameters and fields, put into `Annotated`."""

from __future__ import annotations

from dataclasses import dataclass

from remit._base.text import choices, did_you_mean
from remit._policy.words import CATEGORIES
from remit.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Sensitive:
    """Marks a value that is redacted from every payload.

    Write `Annotated[str, remit.Sensitive("health_and_medical")]` on a parameter, a return type, or
    a field of a dataclass or model. Without a category, write `Annotated[str, remit.Sensitive]`.

    Args:
        category: A data category: one of the fields of `remit.DataCategories`; empty for none.

    Raises:
        DeclarationError: The category does not exist.
    """

    category: str = ""

    def __post_init__(self) -> None:
        if self.category != "" and self.category not in CATEGORIES:
            raise DeclarationError(
                f"remit.Sensitive({self.category!r}): the category is unknown"
                f"{did_you_mean(self.category, CATEGORIES)}; expected {choices(CATEGORIES)}"
            )


class Skip:
    """Marks a parameter that is left out of the schema and of every payload.

    Write `Annotated[Session, remit.Skip]`, for example on an object that a framework injects.
    """
