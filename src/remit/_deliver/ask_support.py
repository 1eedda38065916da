"""Finds out whether the server takes requests for approval, which the approver `"server"` needs."""

from __future__ import annotations

from typing import Final

from remit._base.guard import guarded, logger
from remit._deliver.calls import SEND_ERRORS, OutOfTimeError
from remit._deliver.window import SenderContext
from remit.client._approver import UNKNOWN_ASK, show_no_ask
from remit.errors import ApiError, ContractError, NotFoundError, UnavailableError

NOT_TAKEN: Final = "the server does not take requests for approval"
REJECTED: Final = "the server rejects requests for approval: {}"


class AskSupport:
    """Asks the server once, on the sender's thread, after the server has answered something."""

    def __init__(self, context: SenderContext) -> None:
        self._context = context
        self._asked = False

    @guarded("asking whether the server takes requests for approval", passes=SEND_ERRORS)
    def check(self) -> None:
        """Ask the server if it was not asked yet."""
        client = self._context.client
        if self._asked or not client.answered or client.deadline is not None:
            return
        self._asked = True
        try:
            client.call(show_no_ask())
        except (UnavailableError, OutOfTimeError):
            self._asked = False
            raise
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
