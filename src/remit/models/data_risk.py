"""The models of `data_risk`: actions of a step, and categories of its data.

Declarations need these models and no others, so `import remit` imports no other models.
"""

from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, PrivateAttr

from remit.models._types import WireModel

ActionWord: TypeAlias = Literal["unknown", "allowed", "disallowed"]
"""Word for one action."""

CategoryWord: TypeAlias = Literal["unknown", "included", "excluded"]
"""Word for one category of data."""

Classification: TypeAlias = Literal[
    "unknown", "public", "internal", "confidential", "restricted", "secret"
]
"""Confidentiality of data, from `public` to `secret`."""

Unbound: TypeAlias = Literal["ask", "deny"]
"""Reaction to a call with arguments that no approval covers."""
Action: TypeAlias = Literal[
    "create_data",
    "read_data",
    "update_data",
    "destroy_data",
    "financial_transactions",
    "external_communication",
]
"""Name of an action, a field of `ActionProfile`."""

Others: TypeAlias = Literal["others"]
"""In `remit.risk`, all actions or categories that a declaration does not name."""

Category: TypeAlias = Literal[
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
]
"""Name of a category of data, a field of `DataCategories`."""


class ActionProfile(WireModel):
    """The actions of a step. Each action has one value; the default is `unknown`."""

    create_data: ActionWord = "unknown"
    """Whether the step creates data."""
    read_data: ActionWord = "unknown"
    """Whether the step reads data."""
    update_data: ActionWord = "unknown"
    """Whether the step changes data."""
    destroy_data: ActionWord = "unknown"
    """Whether the step deletes data."""
    financial_transactions: ActionWord = "unknown"
    """Whether the step moves money."""
    external_communication: ActionWord = "unknown"
    """Whether the step sends data to external systems or people."""


class DataCategories(WireModel):
    """The data categories in a payload. Each category has one value; the default is `unknown`."""

    personal_identifiers: CategoryWord = "unknown"
    """Names, account numbers, and other data that identifies a person."""
    contact_information: CategoryWord = "unknown"
    """Addresses, telephone numbers, e-mail addresses."""
    financial_information: CategoryWord = "unknown"
    """Bank details, payments, income."""
    health_and_medical: CategoryWord = "unknown"
    """Health and treatment."""
    criminal_justice: CategoryWord = "unknown"
    """Offences, convictions, proceedings."""
    authentication_and_secrets: CategoryWord = "unknown"
    """Passwords, tokens, keys."""
    organisational_confidential: CategoryWord = "unknown"
    """Business secrets and internal matters."""
    minors_data: CategoryWord = "unknown"
    """Data of children."""
    location_and_tracking: CategoryWord = "unknown"
    """Places and movements of people."""
    behavioural_and_inferred: CategoryWord = "unknown"
    """Habits, preferences, and conclusions from them."""
    gdpr_racial_or_ethnic_origin: CategoryWord = "unknown"
    """Racial or ethnic origin (GDPR article 9)."""
    gdpr_political_opinions: CategoryWord = "unknown"
    """Political opinions (GDPR article 9)."""
    gdpr_religious_or_philosophical_beliefs: CategoryWord = "unknown"
    """Religious or philosophical beliefs (GDPR article 9)."""
    gdpr_trade_union_membership: CategoryWord = "unknown"
    """Membership in a trade union (GDPR article 9)."""
    gdpr_genetic_data: CategoryWord = "unknown"
    """Genetic data (GDPR article 9)."""
    gdpr_biometric_for_identification: CategoryWord = "unknown"
    """Biometric data that identify a person (GDPR article 9)."""
    gdpr_sex_life_or_sexual_orientation: CategoryWord = "unknown"
    """Sex life or sexual orientation (GDPR article 9)."""
    classification: Classification = "unknown"
    """How confidential the data is."""


class DataRisk(BaseModel):
    """The actions of a step, and the data categories in its parameters and result.

    Additional keys are preserved. Use `remit.risk(...)` to create a data risk from names of actions
    and categories.
    """

    model_config = ConfigDict(extra="allow", defer_build=True)

    action_profile: ActionProfile
    """Actions of the step."""
    params_data_categories: DataCategories
    """Data categories in the parameters."""
    result_data_categories: DataCategories
    """Data categories in the result."""
    _asks: tuple[Action, ...] = PrivateAttr(default=())
    _unbound: Unbound = PrivateAttr(default="ask")

    @property
    def asks(self) -> tuple[Action, ...]:
        """Actions of an agent's steps that need a person's yes.

        `remit.risk(asks=...)` sets them. The fields above and `model_dump()` have the word
        `allowed` for each.
        """
        return self._asks

    @property
    def unbound(self) -> Unbound:
        """Whether remit asks about or denies a call with arguments that no approval covers.

        `remit.risk(unbound=...)` sets it.
        """
        return self._unbound

    def with_asks(self, asks: tuple[Action, ...], unbound: Unbound = "ask") -> Self:
        """Return a copy whose `asks` are these actions."""
        copy = self.model_copy()
        copy._asks, copy._unbound = asks, unbound  # noqa: SLF001 - of the copy
        return copy
