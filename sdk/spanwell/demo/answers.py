"""Words of the simulated models: what they answer to a prompt. Pure, and the same for the same seed and prompt."""

import re
import zlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from spanwell.demo.profiles import ModelProfile
from spanwell.demo.tokens import message_text
from spanwell.demo.topics import CODE, FAQ, FAQ_ANSWERS, RECALL, SUPPORT, Topic

WORD = re.compile(r"[a-z]+")
PASSAGE = re.compile(r"^\[(?P<name>[^\]]+)\] (?P<text>.+)$", re.MULTILINE)
SENTENCE = re.compile(r"[^.!?]+[.!?]")

OPENINGS = (
    "Thanks for the details.",
    "Happy to help.",
    "Good question.",
    "I have looked into it.",
    "Here is what to do.",
    "That can be solved.",
)
CLOSINGS = (
    "Tell me if it does not work.",
    "Anything else I can do?",
    "It takes about 2 minutes.",
    "You will get a mail when it is done.",
    "I keep this chat open for you.",
)
VAGUE = (
    "It depends on several things, and there is no simple answer to this in general.",
    "There are many aspects to consider, and every situation is somewhat different from the next.",
    "It might help to look at the documentation, or perhaps to try again at some later point.",
    "In many cases things like this tend to resolve themselves, although that is hard to say with certainty.",
    "It could be worth reaching out to someone who may know more about the matter at hand.",
)
UNKNOWN = (
    "I am sorry, I have no information about this subject.",
    "This is not something I was prepared for, so I cannot say.",
    "I do not know of this; please check our website in general.",
)
WEAK_PHRASES = tuple(phrase.split(",")[0].lower() for phrase in VAGUE + UNKNOWN)
"""What gives a poor answer away; the simulated judge looks for these."""


def draw(seed: int, *parts: str) -> Random:
    """A random source fixed by a seed and some texts."""
    return Random(zlib.crc32("\0".join(parts).encode(), seed & 0xFFFFFFFF))  # noqa: S311 - a simulation, not a secret


def compose_answer(profile: ModelProfile, messages: Sequence[Mapping[str, Any]], seed: int) -> str:
    """The assistant's text. A vague model hedges; an unknown subject is answered with an apology."""
    question = _last_text(messages, "user")
    random = draw(seed, profile.name, question)
    if messages and messages[-1].get("role") == "tool":
        return _report_result(message_text(messages[-1]), random)
    if profile.vague:
        return " ".join([random.choice(OPENINGS), *random.sample(VAGUE, k=random.randint(4, 5))])
    if question in FAQ:
        return FAQ_ANSWERS[FAQ.index(question)]
    if question.startswith("Context:"):
        return _quote_context(question)
    if len(question) > 400:
        return _summarize(question)
    return _answer_topic(find_topic(question), random)


def find_topic(text: str) -> Topic | None:
    """The topic that shares most words with `text`, if any does."""
    words = set(WORD.findall(text.lower()))
    best = max((*SUPPORT, *CODE, RECALL), key=lambda topic: len(topic.keywords & words))
    return best if best.keywords & words else None


def is_weak(text: str) -> bool:
    """Whether `text` holds a phrase of a poor answer."""
    lowered = text.lower()
    return any(phrase in lowered for phrase in WEAK_PHRASES)


def _answer_topic(topic: Topic | None, random: Random) -> str:
    if topic is None or not topic.answers:
        return random.choice(UNKNOWN)
    count = 1 + (random.random() < 0.4)
    core = random.sample(topic.answers, k=min(count, len(topic.answers)))
    closing = [random.choice(CLOSINGS)] if topic in SUPPORT else []
    return " ".join([random.choice(OPENINGS), *core, *closing])


def _report_result(result: str, random: Random) -> str:
    plain = re.sub(r"[{}\"\[\]]", "", result).replace("_", " ").strip()
    return f"{random.choice(OPENINGS)} The system says: {plain[:300]}. {random.choice(CLOSINGS)}"


def _quote_context(question: str) -> str:
    """Two sentences of the first passage, and its name."""
    first = PASSAGE.search(question)
    if first is None:
        return UNKNOWN[0]
    return (
        " ".join(sentence.strip() for sentence in SENTENCE.findall(first["text"])[:2]) + f" (source: {first['name']})"
    )


def _summarize(document: str) -> str:
    """Every third sentence, four at most: enough of a summary to read like one."""
    sentences = [sentence.strip() for sentence in SENTENCE.findall(document)]
    return "In short: " + " ".join(sentences[1::3][:4])


def _last_text(messages: Sequence[Mapping[str, Any]], role: str) -> str:
    return next((message_text(message) for message in reversed(messages) if message.get("role") == role), "")
