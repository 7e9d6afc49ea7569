"""What may become of a call, and how that shows: in the reply, in the dialect of its API, and on the bill."""

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx

from spanwell import conventions as c
from tests.proxy.gateway import COST_USD
from tests.proxy.shapes import WORDS
from tests.proxy.sink import Seen

EMBEDDING_COST_USD = "0.000042"
ENDS = {
    "chat/completions": r"data: \[DONE\]\n\n$",
    "completions": r"data: \[DONE\]\n\n$",
    "responses": r"event: response.completed\ndata: .*\n\n$",
    "messages": r"event: message_stop\ndata: .*\n\n$",
}


CHUNKS = ("chat/completions", "completions")  # whose usage comes last, or in every chunk
INPUT_TOKENS = 42


@dataclass(frozen=True)
class Outcome:
    """`kind` is `error.type` of the span; `midway` if the client had the first words before it went wrong.

    `told`, `guessed` and `counted` name APIs: a failed attempt's backend had told its input; the usage is a guess;
    it is none, though the stream broke.
    """

    status: int = 200
    kind: str = ""
    again: bool = False  # another attempt at the same deployment may help
    midway: bool = False
    told: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    anthropic: int = 0
    retry_after: str = ""

    def status_for(self, api: str) -> int:
        return self.anthropic if self.anthropic and api == "messages" else self.status

    def check_reply(self, api: str, stream: bool, reply: httpx.Response) -> None:
        if self.midway:
            assert WORDS[0].strip() in reply.text
            assert not re.search(ENDS[api], reply.text)
            check_error(api, last_event(reply.text))
        elif self.kind:
            check_error(api, reply.json())
            assert reply.headers.get("retry-after", "") == self.retry_after
        else:
            check_whole(api, stream, reply)

    def check_bill(self, api: str, span: Seen, failed: int) -> None:
        """`failed` attempts were made for it."""
        used, cost = span.attributes.get(c.INPUT_TOKENS), span.attributes.get(c.COST_USD)
        told = failed * INPUT_TOKENS if api in self.told else 0
        guessed = span.attributes.get(c.USAGE_ESTIMATED, False)
        if self.kind and not self.midway:
            assert used == (told or None)
            assert (cost is None) == (not told)
        elif self.midway or api in self.guessed:
            assert guessed == (api not in self.counted)
            assert (used or 0) > 0
        else:
            assert (used, guessed) == (INPUT_TOKENS + told, told > 0)
            assert told or cost == (EMBEDDING_COST_USD if api == "embeddings" else COST_USD)


OK = Outcome()
GUESSED = Outcome(guessed=(*CHUNKS, "responses", "messages", "embeddings"))
GUESSED_CHUNKS = Outcome(guessed=CHUNKS)


def BROKEN(kind: str, counted: tuple[str, ...] = ()) -> Outcome:  # noqa: N802 - beside the others of the table
    return Outcome(kind=kind, midway=True, counted=counted)


def refused(status: int, kind: str, *, again: bool = True, retry_after: str = "", anthropic: int = 0) -> Outcome:
    return Outcome(status, kind, again=again, retry_after=retry_after, anthropic=anthropic)


def last_event(text: str) -> Any:
    return json.loads(text.rstrip("\n").rpartition("data: ")[2])


def check_error(api: str, told: Any) -> None:
    """In the shape that the clients of the API read."""
    if api == "messages":
        assert told["type"] == "error"
        assert {"type", "message"} <= told["error"].keys()
    elif told.get("type") == "error":  # an event of the responses API
        assert told["message"]
    else:
        assert {"message", "type", "param", "code"} <= told["error"].keys()
        assert told["error"]["message"]


def check_whole(api: str, stream: bool, reply: httpx.Response) -> None:
    if api == "embeddings":
        assert reply.json()["data"]
    elif stream:
        assert all(word.strip() in reply.text for word in WORDS)
        assert len(re.findall(ENDS[api], reply.text)) == 1
    else:
        assert "".join(WORDS) in reply.text
