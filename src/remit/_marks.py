"""Marks for parameters and fields, put into `Annotated`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from remit._words import meant, one_of
from remit.errors import DeclarationError

CLASSIFICATION: Final = "classification"
CATEGORIES: Final = (
    "personal_identifiers",
    "contact_information",
    "financial_information",
    "health_and_medical",
    "criminal_justice",
    "authentication_and_secrets",
    "organisational_confidential",
    "minors_data",
    "location_and_tracking",
    "behavioural_and_inferred",
    "gdpr_racial_or_ethnic_origin",
    "gdpr_political_opinions",
    "gdpr_religious_or_philosophical_beliefs",
    "gdpr_trade_union_membership",
    "gdpr_genetic_data",
    "gdpr_biometric_for_identification",
    "gdpr_sex_life_or_sexual_orientation",
)
"""The data categories; what stands beside them says how closely the data is kept.

Spelled here, and not read off `DataCategories`: the models are imported by none who only declares.
"""


@dataclass(frozen=True, slots=True)
class Sensitive:
    """The value belongs to a data category and is withheld from every payload.

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
        """Refuse a word that no declaration and no policy knows."""
        if self.category != "" and self.category not in CATEGORIES:
            raise DeclarationError(
                f"remit.Sensitive({self.category!r}): the category is unknown"
                f"{meant(self.category, CATEGORIES)}; expected {one_of(CATEGORIES)}"
            )


class Skip:
    """The parameter is left out of the schema and of every payload.

    Used as `Annotated[Session, remit.Skip]`, for what a framework injects.
    """
