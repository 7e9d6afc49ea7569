"""What the demo's applications can call besides a model: a parcel's tracking, and a search over the documents. Pure."""

import re
from dataclasses import dataclass

import orjson

from spanwell.demo.answers import draw
from spanwell.demo.topics import DOCUMENTS

WORD = re.compile(r"[a-z]{4,}")
STATES = ("in the depot", "on the courier's van", "with a neighbour", "at the parcel locker")


@dataclass(frozen=True)
class Passage:
    """A document that was found, and how many words it shares with the question."""

    source: str
    text: str
    score: int


def track_parcel(arguments: str) -> str:
    """JSON in, JSON out, as a tool of a chat model works. The same order is always at the same place.

    What a model wrote may be cut short or no object: it is told so, as any tool would.
    """
    try:
        given = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        return '{"error":"the arguments are not a JSON object; call again with an order_id"}'
    order_id = str(given.get("order_id", ""))
    random = draw(0, order_id)
    found = {"order_id": order_id, "state": random.choice(STATES), "expected": f"in {random.randint(1, 3)} days"}
    return orjson.dumps(found).decode()


def retrieve(question: str, limit: int = 4) -> list[Passage]:
    """The documents with most of the question's words."""
    asked = set(WORD.findall(question.lower()))
    passages = [Passage(name, text, len(asked & set(WORD.findall(text.lower())))) for name, text in DOCUMENTS]
    return sorted(passages, key=lambda passage: -passage.score)[:limit]


def rerank(passages: list[Passage], limit: int = 2) -> list[Passage]:
    """The best passages: words shared for their length."""
    return sorted(passages, key=lambda passage: -passage.score / len(passage.text) ** 0.5)[:limit]


def with_context(question: str, passages: list[Passage]) -> str:
    """The prompt of a question that is to be answered from passages."""
    context = "\n\n".join(f"[{passage.source}] {passage.text}" for passage in passages)
    return f"Context:\n{context}\n\nQuestion: {question}"
