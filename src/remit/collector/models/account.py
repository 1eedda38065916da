"""Accounts, environments and people: requests and responses."""

from datetime import datetime
from typing import Literal

from remit.models._types import WireModel


class AccountForUpdate(WireModel):
    """The `details` in a request that changes an account. Absent fields are not changed."""

    name: str = ""
    """Display name."""


class Account(WireModel):
    """An account, which contains all other objects."""

    type: Literal["account"]
    """Always `account`."""
    id: str
    """PFID of the account. All ids in the account belong to the same partition."""
    name: str
    """Display name."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class EnvironmentForCreate(WireModel):
    """The `details` in a request that creates an environment."""

    name: str
    """Display name."""
    account_id: str | None = None
    """Id of the account. The default is the token's account."""
    id: str | None = None
    """PFID for the environment. By default, the server generates one."""


class EnvironmentForUpdate(WireModel):
    """The `details` in a request that changes an environment. Absent fields are not changed."""

    name: str = ""
    """Display name."""


class Environment(WireModel):
    """An environment in which agents run, such as production or staging."""

    type: Literal["environment"]
    """Always `environment`."""
    id: str
    """Id of the environment, a PFID."""
    account_id: str
    """The account that contains it."""
    name: str
    """Display name."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class AdminUser(WireModel):
    """A person who may use the web pages of the service."""

    type: Literal["admin_user"]
    """Always `admin_user`."""
    id: str
    """Id of the person, a PFID."""
    email: str | None = None
    """E-mail address of the person."""


class AdminUserInviteForCreate(WireModel):
    """The `details` in a request that invites a person."""

    email: str
    """E-mail address of the invited person."""
    account_id: str | None = None
    """Id of the account. The default is the token's account."""


class AdminUserInvite(WireModel):
    """An invitation for a person."""

    type: Literal["admin_user_invite"]
    """Always `admin_user_invite`."""
    id: str
    """Id of the invitation, a PFID."""
    email: str | None = None
    """E-mail address of the invited person."""


class RiskProfile(WireModel):
    """A profile by which the risk of agents is assessed."""

    type: Literal["risk_profile"]
    """Always `risk_profile`."""
    id: str
    """Id of the profile, a PFID."""
    name: str | None = None
    """Display name."""
