"""What the demo's applications ask: whole sessions, dealt from decks. Pure; history and live traffic both deal from it.

A deck holds every topic as often as its weight says and is shuffled anew when it is empty, so that any hour has the
same mix of topics as any other: the one shift in the data is the one that was planted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Generic, TypeVar

from spanwell.demo.planted import BURST_APP, SHIFT_SHARE, SHIFTED_APP
from spanwell.demo.topics import CODE, DOCS_QUESTIONS, DOCUMENTS, FAQ, RECALL, SUPPORT, Topic

Card = TypeVar("Card")
Message = dict[str, Any]

CITIES = ("Lyon", "Graz", "Porto", "Ghent", "Turin", "Malmö", "Brno", "Cork", "Leipzig", "Nantes")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
USERS: Final = 60
CALLS_A_SESSION: Final = 1.95  # on average over all apps

SUPPORT_PROMPT = (
    "You are the support assistant of Alpenglow, a shop for outdoor gear. Answer in at most four sentences, kindly and "
    "concretely. Name the menu entries a customer has to open. Never promise a refund that the returns policy does not "
    "give: goods come back within 30 days, unused, with their label. Never ask for a password or a card number. If a "
    "customer wants to know where an order is, look it up with the tool. If you do not know something, say so."
)
FAQ_PROMPT = "You answer short questions about the shop Alpenglow from its list of frequent questions."
CODE_PROMPT = (
    "You are a pair programmer in the editor of a Python and SQL team. Answer with code first and one sentence on why. "
    "Standard library before packages, types everywhere, no comments that repeat the code."
)
DIGEST_PROMPT = "Summarize the document in at most four sentences, for readers who have a minute."
DOCS_PROMPT = "Answer from the context alone and name its source. If the context does not say it, say that."

SUPPORT_TOOLS: Sequence[Mapping[str, Any]] = (
    {
        "type": "function",
        "function": {
            "name": "track_parcel",
            "description": "Where the parcel of an order is, by the carrier's tracking",
            "parameters": {
                "type": "object",
                "properties": {"order_id": {"type": "string"}},
                "required": ["order_id"],
            },
        },
    },
)


@dataclass(frozen=True)
class App:
    """One application: the model name it asks for, its share of the sessions, and the length of one."""

    name: str
    model: str
    share: float
    turns: tuple[int, ...]
    streams: float  # share of calls


APPS: Final = (
    App(SHIFTED_APP, "support-chat", 0.36, (2, 3, 3, 4), 0.7),
    App("ide", "code-assist", 0.18, (1, 2, 3), 0.9),
    App("help-center", "llama-8b", 0.26, (1,), 0.5),
    App(BURST_APP, "summarizer", 0.14, (1, 1, 2), 0.0),
    App("docs-agent", "qwen-32b", 0.06, (1,), 0.0),
)


@dataclass(frozen=True)
class Session:
    """A user's questions in one sitting. `system` names the session, so that no other prompt is equal to it."""

    app: App
    id: str
    user: str
    topic: str
    system: str
    questions: tuple[str, ...]
    tools: Sequence[Mapping[str, Any]] = ()


class Deck(Generic[Card]):
    """Deals its cards in random order, each exactly once before any comes again."""

    def __init__(self, cards: Sequence[Card], random: Random) -> None:
        self._cards = cards
        self._random = random
        self._left: list[Card] = []

    def deal(self) -> Card:
        if not self._left:
            self._left = self._random.sample(self._cards, k=len(self._cards))
        return self._left.pop()


class Dealer:
    """Deals the sessions of every app; `shifted` says whether the planted topic has begun. Same random, same deal."""

    def __init__(self, random: Random, prefix: str) -> None:
        self._random = random
        self._prefix = prefix
        self._count = 0
        self._apps = Deck(_app_cards(), random)
        self._turns = {app.name: Deck(app.turns, random) for app in APPS}
        self._support = {shifted: Deck(_support_cards(shifted), random) for shifted in (False, True)}
        self._code = Deck(CODE, random)
        self._faq = Deck(FAQ, random)
        self._documents = Deck(DOCUMENTS, random)
        self._docs = Deck(DOCS_QUESTIONS, random)
        self._questions = {topic.name: Deck(topic.questions, random) for topic in (*SUPPORT, RECALL, *CODE)}

    def deal_app(self) -> App:
        return self._apps.deal()

    def deal_session(self, app: App, *, shifted: bool) -> Session:
        """The next session of `app`."""
        self._count += 1
        session_id = f"{app.name}-{self._prefix}{self._count:05d}"
        user = f"user-{min(int(self._random.expovariate(3 / USERS)), USERS - 1):03d}"
        turns = self._turns[app.name].deal()
        match app.name:
            case "ide":
                topic, questions = self._ask(self._code.deal(), turns)
                return Session(app, session_id, user, topic, f"{CODE_PROMPT} Workspace: {session_id}.", questions)
            case "help-center":
                return Session(app, session_id, user, "faq", FAQ_PROMPT, (self._faq.deal(),))
            case "docs-agent":
                source, question = self._docs.deal()
                system = f"{DOCS_PROMPT} Conversation: {session_id}."
                return Session(app, session_id, user, source, system, (question,))
            case "digest":
                documents = tuple(self._write_document() for _ in range(turns))
                return Session(app, session_id, user, "documents", DIGEST_PROMPT, documents)
        topic, questions = self._ask(self._support[shifted].deal(), turns)
        system = f"{SUPPORT_PROMPT} Customer: {user}, conversation {session_id}."
        return Session(app, session_id, user, topic, system, questions, SUPPORT_TOOLS)

    def deal_oversized(self) -> Session:
        """A document that is longer than the summarizer's context window."""
        app = next(app for app in APPS if app.name == BURST_APP)
        session = self.deal_session(app, shifted=False)
        return replace(session, topic="oversized", questions=(session.questions[0] * 12,))

    def _ask(self, topic: Topic, turns: int) -> tuple[str, tuple[str, ...]]:
        facts = {
            "order": f"DE-{self._random.randint(10_000, 99_999)}",
            "city": self._random.choice(CITIES),
            "day": self._random.choice(DAYS),
            "amount": str(self._random.randint(4, 180)),
            "serial": f"PB-{self._random.randint(100_000, 999_999)}",
        }
        first = self._questions[topic.name].deal().format_map(facts)
        followups = self._random.sample(topic.followups, k=min(turns - 1, len(topic.followups)))
        return topic.name, (first, *followups)

    def _write_document(self) -> str:
        sections = [self._documents.deal() for _ in range(3)]
        number = self._random.randint(100_000, 999_999)  # no two are alike, and no word tells when it was written
        return f"Report {number}.\n\n" + "\n\n".join(f"{name}: {text}" for name, text in sections)


def conversation(session: Session) -> Iterator[list[Message]]:
    """The messages before each turn's answer; the caller appends what was answered to the list it was given."""
    messages: list[Message] = [{"role": "system", "content": session.system}]
    for question in session.questions:
        messages.append({"role": "user", "content": question})
        yield messages


def _app_cards() -> list[App]:
    return [app for app in APPS for _ in range(round(app.share * 50))]


def _support_cards(shifted: bool) -> list[Topic]:
    """Each old topic twice; once shifted, as many of the new one as make SHIFT_SHARE of the deck."""
    old = [topic for topic in SUPPORT for _ in range(2)]
    return [*old, *([RECALL] * round(len(old) * SHIFT_SHARE / (1 - SHIFT_SHARE)))] if shifted else old
