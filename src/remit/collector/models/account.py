"""Accounts, environments and people: requests and responses."""

from datetime import datetime
from typing import Literal

from remit.models._types import WireModel


class AccountForUpdate(WireModel):
    """Changes of an account; an absent field stays as it is."""

    name: str = ""
    """Display name."""


class Account(WireModel):
    """An account, which owns everything else."""

    type: Literal["account"]
    """Always `account`."""
    id: str
    """Id of the account, a PFID; all ids of the account share its partition."""
    name: str
    """Display name."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class EnvironmentForCreate(WireModel):
    """A new environment: the `details` of the request."""

    name: str
    """Display name."""
    account_id: str | None = None
    """The account; by default that of the token."""
    id: str | None = None
    """Id for the environment, a PFID; by default the server generates one."""


class EnvironmentForUpdate(WireModel):
    """Changes of an environment; an absent field stays as it is."""

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
    """A person who may use the pages of the service."""

    type: Literal["admin_user"]
    """Always `admin_user`."""
    id: str
    """Id of the person, a PFID."""
    email: str | None = None
    """Address of the person."""


class AdminUserInviteForCreate(WireModel):
    """A new invitation: the `details` of the request."""

    email: str
    """Address of the invited person."""
    account_id: str | None = None
    """The account; by default that of the token."""


class AdminUserInvite(WireModel):
    """An invitation of a person."""

    type: Literal["admin_user_invite"]
    """Always `admin_user_invite`."""
    id: str
    """Id of the invitation, a PFID."""
    email: str | None = None
    """Address of the invited person."""


class RiskProfile(WireModel):
    """A profile for judging agents."""

    type: Literal["risk_profile"]
    """Always `risk_profile`."""
    id: str
    """Id of the profile, a PFID."""
    name: str | None = None
    """Display name."""
