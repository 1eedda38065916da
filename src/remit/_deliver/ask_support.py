"""Finds out whether the server takes requests for approval, which the approver `"server"` needs."""

from __future__ import annotations

from typing import Final

from remit._base.guard import guarded, logger
from remit._deliver.calls import SEND_ERRORS
from remit._deliver.window import SenderContext
from remit.client._approver import UNKNOWN_ASK, show_no_ask
from remit.errors import ApiError, ContractError, NotFoundError, UnavailableError

MAX_TRIES: Final = 3
NOT_TAKEN: Final = "the server does not take requests for approval"
REJECTED: Final = "the server rejects requests for approval: {}"


class AskSupport:
    """Asks the server once, on the sender's thread, after the server has answered something."""

    def __init__(self, context: SenderContext) -> None:
        self._context = context
        self._tries_left = MAX_TRIES

    @guarded("asking whether the server takes requests for approval", passes=SEND_ERRORS)
    def check(self) -> None:
        """Ask the server if its answer is not known yet."""
        client = self._context.client
        if not (self._tries_left and client.answered) or client.deadline is not None:
            return
        tries_left, self._tries_left = self._tries_left - 1, 0
        try:
            client.call(show_no_ask())
        except UnavailableError:
            # Whether delivery works, its own requests show.
            self._tries_left = tries_left
        except (ContractError, NotFoundError) as error:
            if error.code != UNKNOWN_ASK:
                self._note(NOT_TAKEN)
        except ApiError as error:
            self._note(REJECTED.format(error))

    def _note(self, problem: str) -> None:
        self._context.tally.approver = problem
        logger.warning(
            "approver='server', but %s. Each step that asks a person is denied. Use a server of "
            "this version of remit, or an approver of your own",
            problem,
        )
