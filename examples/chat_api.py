"""A chat API that streams its answers, offline, and records each one as a run with remit.

```shell
uvicorn examples.chat_api:app
curl -N http://127.0.0.1:8000/chat -H "X-Api-Key: key-of-ada" --json '{"question": "Can I return a lamp?"}'
```

It needs remit's extras `collector` and `fastapi`, no account and no network. What it knows are the
help pages next to this file; where others ask a model, it looks for words.
"""  # noqa: E501 - a command that is copied stands in one line

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, SecretStr

import remit

PAGES = Path(__file__).parent / "help_pages"
CUSTOMERS = {"key-of-ada": "customer-17", "key-of-grace": "customer-42"}
NEVER: Final = ("update_data", "destroy_data", "financial_transactions")
PAUSE_S = 0.02
"""Between two words, so that one can watch the answer being written."""


class Question(BaseModel):
    """What a customer asks."""

    question: str = Field(min_length=1, max_length=2000)


class Page(BaseModel):
    """A help page."""

    title: str
    text: str


class Quality(BaseModel):
    """How good an answer was."""

    words: int = Field(ge=0)
    answered: bool


@remit.span_type(data_risk=remit.risk(allows="read_data", forbids=NEVER, classification="public"))
def find_page(question: str) -> Page | None:
    """Find the help page that has most of the question's words."""
    asked = set(re.findall(r"[a-z]{4,}", question.lower()))
    found: tuple[int, Page | None] = (1, None)
    for file in sorted(PAGES.glob("*.md")):
        title, text = file.read_text("utf-8").removeprefix("# ").split("\n\n", 1)
        hits = len(asked & set(re.findall(r"[a-z]{4,}", f"{title} {text}".lower())))
        if hits > found[0]:
            found = hits, Page(title=title, text=" ".join(text.split()))
    return found[1]


@remit.span_type(data_risk=remit.risk(allows="external_communication", forbids=NEVER))
async def write(page: Page | None) -> AsyncIterator[str]:
    """Write the answer word by word, as a model would."""
    text = f"{page.title}: {page.text}" if page else "I do not know; a person will call you."
    for word in text.split():
        await asyncio.sleep(PAUSE_S)
        yield f"{word} "


@remit.agent(
    data_risk=remit.risk(allows=("read_data", "external_communication"), forbids=NEVER),
    quality={"answer": Quality},
)
async def assistant(question: str) -> AsyncIterator[str]:
    """Answer questions from the help pages."""
    page = await asyncio.to_thread(find_page, question)
    words = 0
    async for word in write(page):
        words += 1
        yield word
    if run := remit.current_run():
        run.record_quality("answer", {"words": words, "answered": page is not None})


def customer_of(x_api_key: Annotated[SecretStr, Header()]) -> str:
    """Return the number of the customer whose key was sent."""
    found = CUSTOMERS.get(x_api_key.get_secret_value())
    if found is None:
        raise HTTPException(401, "this key is not known")
    return found


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
    """Deliver what was recorded before the server ends; a server that hangs is not waited for."""
    yield
    await remit.aflush(timeout_s=2.0)


app = FastAPI(title="Chat", lifespan=lifespan)


@app.post("/chat")
async def chat(
    asked: Question, customer: Annotated[str, Depends(customer_of)]
) -> StreamingResponse:
    """Stream an answer; its run ends when the client has read it all, or has gone."""
    async with assistant.run(subject=customer, labels={"channel": "chat"}) as run:
        answer = assistant(asked.question)
        return StreamingResponse(answer, media_type="text/plain", headers={"X-Run": run.key})
