"""Marks for parameters and fields, put into `Annotated`."""

from __future__ import annotations

from dataclasses import dataclass

from remit._base.text import choices, did_you_mean
from remit._policy.words import CATEGORIES
from remit.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Sensitive:
    """Marks a value that remit redacts from every payload.

    Annotate a parameter, a return type, or a field of a dataclass or model with `Annotated[str,
    remit.Sensitive("health_and_medical")]`. To omit the category, write `Annotated[str,
    remit.Sensitive]`.

    Args:
        category: A data category: the name of a field of `remit.DataCategories`. By default, there
            is no category.

    Raises:
        DeclarationError: If the category does not exist.
    """

    category: str = ""

    def __post_init__(self) -> None:
        if self.category != "" and self.category not in CATEGORIES:
            raise DeclarationError(
                f"remit.Sensitive({self.category!r}): the category is unknown"
                f"{did_you_mean(self.category, CATEGORIES)}; expected {choices(CATEGORIES)}"
            )


class Skip:
    """Marks a parameter that remit omits from the schema and from every payload.

    Annotate the parameter with `Annotated[Session, remit.Skip]`, for example if a framework injects
    it.
    """
