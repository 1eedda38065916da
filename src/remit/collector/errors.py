"""Errors of rejected requests, which the response has in an envelope.

The published clients know the codes, except the collector's own: `ambiguous`, `forbidden`,
`internal_error`, `length_required`, `payload_too_large`, `request_timeout`, `timeout`,
`seal_used`, `too_many_requests`, `unavailable`, `unknown_ask`, `unknown_schema_version`,
`unsupported_media_type`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus


class RequestError(Exception):
    """A rejected request, of which nothing is written.

    Attributes:
        code: One word for programs.
        errors: For validation errors, messages by field.
        headers: Headers of the response besides the usual ones.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        errors: Mapping[str, Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Set the parts of the response."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.headers = headers


def malformed(message: str) -> RequestError:
    """Return the error for a request that cannot be read."""
    return RequestError(HTTPStatus.BAD_REQUEST, "bad_request", message)


def invalid(errors: Mapping[str, Sequence[str]]) -> RequestError:
    """Return the error for invalid fields, the keys of *errors*."""
    names = ", ".join(errors)
    return RequestError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "validation_errors",
        f"these fields are not valid: {names}",
        errors=errors,
    )


def invalid_field(field: str, message: str) -> RequestError:
    """Return the error for one invalid field."""
    return invalid({field: [message]})


def unknown_schema_version() -> RequestError:
    """Return the error for an unknown identifier: the schema version has to be sent whole."""
    return RequestError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "unknown_schema_version",
        "this agent has no schema version of that identifier: send it whole",
    )


def ambiguous(what: str, name: str, ids: Sequence[str]) -> RequestError:
    """Return the error for an ending that several ids have; *what* is their kind, in the plural."""
    return RequestError(
        HTTPStatus.CONFLICT,
        "ambiguous",
        f"{len(ids)} {what} end with {name}: use one of the ids {', '.join(ids)}",
    )


def not_found(what: str) -> RequestError:
    """Return the error for a resource that does not exist for this caller."""
    return RequestError(HTTPStatus.NOT_FOUND, "not_found", f"{what} not found")


def invalid_action(message: str) -> RequestError:
    """Return the error for an operation that the resource's state does not allow."""
    return RequestError(HTTPStatus.CONFLICT, "invalid_action", message)


def unauthorized() -> RequestError:
    """Return the rejection of an unknown, revoked or expired token."""
    return RequestError(
        HTTPStatus.UNAUTHORIZED,
        "bad_authtoken",
        "Invalid or expired API token",
        headers={"WWW-Authenticate": "Bearer"},
    )


def forbidden(message: str) -> RequestError:
    """Return the error for a request that the token's scope does not cover."""
    return RequestError(HTTPStatus.FORBIDDEN, "forbidden", message)


def body_too_slow(timeout_s: float) -> RequestError:
    """Return the error for a body that did not arrive in time."""
    return RequestError(
        HTTPStatus.REQUEST_TIMEOUT,
        "request_timeout",
        f"the body did not arrive within {timeout_s} seconds",
        headers={"Connection": "close"},
    )


def too_large(message: str) -> RequestError:
    """Return the error for a request that exceeds a limit of size."""
    return RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "payload_too_large", message)
