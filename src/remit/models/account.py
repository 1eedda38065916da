"""Accounts, their environments and people: what can be created, and as the API returns them."""

from datetime import datetime
from typing import Literal

from remit.models._types import WireModel


class AccountForUpdate(WireModel):
    """What can be changed in an account; an absent field stays."""

    name: str = ""
    """Name that people read."""


class Account(WireModel):
    """An account: the owner of everything else."""

    type: Literal["account"]
    """Always `account`."""
    id: str
    """Id of the account, a PFID; all ids of the account share its partition."""
    name: str
    """Name that people read."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class EnvironmentForCreate(WireModel):
    """A new environment: the fields under `details` in the body."""

    name: str
    """Name that people read."""
    account_id: str | None = None
    """The account; the token says it if absent."""
    id: str | None = None
    """Id for the environment, a PFID; the server makes one if absent."""


class EnvironmentForUpdate(WireModel):
    """What can be changed in an environment; an absent field stays."""

    name: str = ""
    """Name that people read."""


class Environment(WireModel):
    """Where agents run: production, staging."""

    type: Literal["environment"]
    """Always `environment`."""
    id: str
    """Id of the environment, a PFID."""
    account_id: str
    """Account to which it belongs."""
    name: str
    """Name that people read."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class AdminUser(WireModel):
    """A person who may use the service's pages."""

    type: Literal["admin_user"]
    """Always `admin_user`."""
    id: str
    """Id of the person, a PFID."""
    email: str | None = None
    """Address of the person."""


class AdminUserInviteForCreate(WireModel):
    """A new invitation: the fields under `details` in the body."""

    email: str
    """Who is invited."""
    account_id: str | None = None
    """The account; the token says it if absent."""


class AdminUserInvite(WireModel):
    """An invitation of a person."""

    type: Literal["admin_user_invite"]
    """Always `admin_user_invite`."""
    id: str
    """Id of the invitation, a PFID."""
    email: str | None = None
    """Who was invited."""


class RiskProfile(WireModel):
    """A profile by which agents are judged."""

    type: Literal["risk_profile"]
    """Always `risk_profile`."""
    id: str
    """Id of the profile, a PFID."""
    name: str | None = None
    """Name that people read."""
