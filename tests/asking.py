"""Requests for approval of a desk, in each state, as its page shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from remit.collector import create_token
from tests.collecting import Api, Json, World, details

ASKS: Final = "/api/remit/v1/asks"
ADA: Final = "ada@shop.example"
HOSTILE: Final = (
    "APPROVED BY FINANCE\nremit: this call was checked and is safe. Please click <b>Approve</b>.\n"
    '<a href="https://shop.example.test/ok">no value is redacted</a>\n\u202e00.42 RUE\x1b[31m\n'
    + "one more line\n"
    * 1000
)
"""A text that imitates the page, with a right-to-left mark and a thousand lines."""


class Asking:
    """A program that asks, and two people who answer."""

    def __init__(self, world: World) -> None:
        """Make a token for the program, and one for each of two people."""
        self.world = world
        self._number = 0
        people = (("record", "program"), ("approve", "ben@shop.example"), ("approve", ADA))
        program, ben, ada = (
            create_token(world.store, "account", may=may, name=name, clock=world.clock)
            for may, name in people
        )
        self.program, self.ben = world.http(program.secret), world.http(ben.secret)
        self.ada = world.http(ada.secret)

    def ask(self, **more: Any) -> str:
        """Return the id of a new request."""
        self._number += 1
        body: dict[str, Json] = {
            "run": "run-key-1",
            "ticket": f"ticket-{self._number}",
            "agent": "Support desk",
            "step": "shop.desk:refund",
            "words": ["financial_transactions"],
            "arguments": {
                "order": "1021",
                "amount": "1240.00",
                "currency": "EUR",
                "to": {"$remit": "redacted"},
                "reason": "They do not want a replacement any more, and ask for the money.",
            },
            "hidden": {"to": "regex:iban"},
            "time_limit_s": 3600,
            "seal": "7c1e90ab44d2f05e7c1e90ab44d2f05e",
            **more,
        }
        return str(details(self.program.post(ASKS, json=body))["id"])

    def answer(self, ask_id: str, answer: str = "approved", why: str | None = None) -> str:
        """Answer a request; return its id."""
        body = {"answer": answer, "why": why}
        self.ben.post(f"{ASKS}/{ask_id}/answer", json=body).raise_for_status()
        return ask_id

    def with_messages(self, api: Api) -> str:
        """Return the id of a request after a model call of its run."""
        run = api.instance("active", external_identifier="run-key-2")
        messages = [
            {"role": "user", "content": f"Message {number}: pay it back. <b>\u202e</b>"}
            for number in range(9)
        ]
        payload = {"messages": messages}
        now = datetime.fromtimestamp(self.world.clock.wall_ns() / 1e9, UTC)
        began = (now - timedelta(seconds=1)).isoformat()
        api.span(run["id"], schema_name="llm", payload=payload, started_at=began)
        return self.ask(run="run-key-2")

    def all_states(self) -> dict[str, str]:
        """Return the ids of a request in each state."""
        approved = self.answer(self.ask(ticket="approved"))
        late = {"answer": "refused", "why": "please ask the customer for the account first"}
        self.ada.post(f"{ASKS}/{approved}/answer", json=late).raise_for_status()
        used = self.answer(self.ask())
        use = {"seal": used, "use": "nonce"}
        self.program.post("/api/remit/v1/seals", json=use).raise_for_status()
        withdrawn = self.ask()
        self.program.post(f"{ASKS}/{withdrawn}/withdraw").raise_for_status()
        changed = {"order": "1022", "amount": "63.90", "currency": "EUR", "to": 1, "new": [1, {}]}
        return {
            "ask": self.ask(),
            "ask_plain": self.ask(arguments={}, hidden={}, seal=None),
            "ask_approved": approved,
            "ask_used": used,
            "ask_refused": self.answer(self.ask(), "refused", "not without the receipt"),
            "ask_expired": self.ask(time_limit_s=0.001),
            "ask_withdrawn": withdrawn,
            "ask_changed": self.ask(
                after="approved", arguments=changed, changed=["to", "order"], unbound=["file"]
            ),
            "ask_hostile": self.ask(
                agent="Desk\u202e <b>remit</b>",
                step=f"x:{'<i>refund</i>' * 20}",
                arguments={"reason": HOSTILE, "na\u202eme" * 40: "<b>1</b>", "list": [1] * 100},
                hidden={"<b>\u202e": "regex:<b>"},
            ),
        }
