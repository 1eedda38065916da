"""Runs in a collector that asked a person before a refund, as a program records them."""

from __future__ import annotations

from typing import Any, Final

from remit import risk
from tests.collecting import Api
from tests.inside import Ceiling, verdict
from tests.run_pages import REDACTED, Story, declared
from tests.violating import denial

REFUND: Final = "shop.tools:refund"
BEN: Final = "ben@shop.example"
TICKET: Final = "ticket-1"
ASKED_MS: Final = 2_900
ANSWERED_MS: Final = 131_000
ARGUMENTS: Final = {"order": "1011", "amount": "63.90", "token": REDACTED}


def desk_types(step_class: str = "unknown") -> list[dict[str, Any]]:
    """Return the declarations of an agent that asks before it moves money, and of its step."""
    desk = declared("shop.desk:asking", allows=("financial_transactions",))
    desk["params_schema"] = {"x-remit-asks": ["financial_transactions"]}
    step = declared(REFUND, allows=("financial_transactions",), classification=step_class)
    return [desk, step]


class AskingStory(Story):
    """A run of an agent that asks.

    Attributes:
        top: The step of the agent.
    """

    top: str

    def __post_init__(self) -> None:
        """Begin the agent, and call a model."""
        super().__post_init__()
        self.top = self.begin("shop.desk:asking", self.root, ms=5)
        chat = self.begin("shop.desk:support", self.top, ms=10)
        self.end(chat, ms=1_300)

    def ask(self, ms: int = ASKED_MS, ticket: str = TICKET, **more: Any) -> str:
        """Ask whether the refund may run; return the span."""
        payload = {
            "asked": "May it refund?",
            "how": "approver",
            "ticket": ticket,
            "step": REFUND,
            "words": ["financial_transactions"],
            "unbound": [],
            "time_limit_s": 3600,
            "arguments": ARGUMENTS,
            **more,
        }
        span = self.begin("remit:asked", self.top, payload, ms=ms)
        self.end(span, ms=ms)
        return span

    def answer(
        self,
        decision: str | None = "approved",
        ms: int = ANSWERED_MS,
        ticket: str | None = TICKET,
        **more: Any,
    ) -> str:
        """Answer the question; return the span."""
        payload = {
            "answer": {"approved": "yes", "refused": "no"}.get(decision or ""),
            "by": BEN,
            "ticket": ticket,
            "as_claimed": False,
            "waited_ms": ms - ASKED_MS,
            "decision": decision,
            "why": None,
            **more,
        }
        span = self.begin("remit:answered", self.top, payload, ms=ms)
        self.end(span, ms=ms)
        return span

    def close(self, ms: int = ANSWERED_MS + 3_000) -> str:
        """End the agent and the run; return its id."""
        self.end(self.top, ms=ms)
        self.end(self.root, result={"status": "complete"}, ms=ms)
        return self.finish("complete", ms=ms)


def approved(
    api: Api,
    step_class: str = "unknown",
    *,
    key: str | None = None,
    said: dict[str, Any] | None = None,
    **answer: Any,
) -> str:
    """Return a run whose refund ran after a yes, with a key and what its program says, if any."""
    story = AskingStory(api, types=desk_types(step_class), key=key, said=said or {})
    story.ask()
    answer.setdefault("why", "receipt is in the ticket")
    story.answer(**answer)
    refund = story.begin(REFUND, story.top, ARGUMENTS, ms=ANSWERED_MS + 8)
    story.end(refund, ms=ANSWERED_MS + 410)
    return story.close()


def unanswered(
    api: Api, key: str | None = None, *, said: dict[str, Any] | None = None, **asked: Any
) -> str:
    """Return a run that waits for the answer, with a key and what its program says, if any."""
    story = AskingStory(api, types=desk_types(), key=key, said=said or {})
    story.ask(**asked)
    return story.run_id


def ended_in(
    api: Api,
    decision: str,
    by: str | None = BEN,
    *,
    key: str | None = None,
    said: dict[str, Any] | None = None,
) -> str:
    """Return a run whose question ended without a yes."""
    story = AskingStory(api, types=desk_types(), key=key, said=said or {})
    story.ask()
    why = "not without the receipt" if by else "no answer came within 3600 seconds"
    story.answer(decision, by=by, why=why)
    if decision in {"refused", "expired"}:
        refund = story.begin(REFUND, story.top, ARGUMENTS, ms=ANSWERED_MS + 8)
        desk = Ceiling.of("shop.desk:asking", "shop/desk.py:7", risk(asks="others"))
        assert desk is not None
        asked = verdict((desk,), REFUND, risk(allows="financial_transactions"), strict=False).asked
        result = denial(REFUND, *asked, refused_by=by or "", why=why)
        story.end(refund, "failed", result, ms=ANSWERED_MS + 9)
    return story.close()


def interrupted(api: Api, answer: Any = "yes") -> str:
    """Return a run that a framework paused with a question, and that went on."""
    story = AskingStory(api, types=desk_types())
    story.ask(how="interrupt", asked={"pay": "<b>63.90</b>"}, step=None, words=None, arguments=None)
    story.answer(answer=answer, decision=None, by=None, ticket=None, as_claimed=True)
    return story.close()
