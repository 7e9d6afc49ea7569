"""How hard a request looks: a sum of features that can be read and changed, no model behind it.

Each feature is between 0 and 1, each has a weight, and the score is their sum, cut to 0 and 1. The words are English:
in other languages length, symbols, turns, tools and schemas decide.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from spanwell_proxy.routing.messages import has_media, read_turns

LONGEST_READ = 4000  # characters of the last user's turn that are looked at
LONG_CHARS = 8000  # about 2,000 tokens
SHORT_WORDS = 30
WORD = re.compile(r"[^\W\d_]+")
# fmt: off
REASONING = frozenset((
    "analyse", "analyze", "architect", "compare", "contrast", "debug", "derive", "design", "diagnose", "evaluate",
    "explain", "hypothesis", "implications", "infer", "justify", "optimise", "optimize", "plan", "proof", "prove",
    "reason", "reasoning", "refactor", "root", "step", "strategy", "tradeoff", "tradeoffs", "why",
))
CODE_WORDS = frozenset((
    "api", "async", "await", "bash", "bug", "const", "css", "def", "elif", "exception", "func", "html", "java",
    "javascript", "json", "lambda", "nullptr", "println", "python", "regex", "rust", "sql", "stacktrace", "traceback",
    "typescript", "unittest", "yaml",
))
CODE_SIGNS = ("```", "{", ";\n", "()", "=>", "::", "</")
MATHS_WORDS = frozenset((
    "algebra", "derivative", "eigenvalue", "equation", "integral", "lemma", "matrix", "modulo", "polynomial",
    "probability", "proof", "theorem", "variance", "vector",
))
MATHS_SIGNS = ("∫", "∑", "√", "≤", "≥", "≠", "∂", "∞", "\\frac", "\\sum", "\\int", "\\sqrt", " = ", "^")
CONSTRAINTS = frozenset((
    "always", "avoid", "ensure", "exactly", "except", "format", "least", "most", "must", "never", "only", "should",
    "unless", "without",
))
LIST_SIGNS = ("\n- ", "\n* ", "\n1.", "\n2.", "\n3.")
SIMPLE = frozenset((
    "define", "hello", "hey", "hi", "no", "ok", "okay", "spell", "thanks", "translate", "when", "where", "who", "yes",
))
# fmt: on


class Seen(NamedTuple):
    """What the features are read from."""

    request: Mapping[str, Any]
    last: str  # the last user's turn, its beginning
    words: list[str]  # of it, in lower case
    chars: int
    turns: int


class Scale(NamedTuple):
    """The weight of each feature. One that is not named weighs nothing."""

    weights: tuple[tuple[str, float], ...]


class Feature(NamedTuple):
    name: str
    value: float
    weight: float


class Complexity(NamedTuple):
    """`score` is between 0 and 1; `features` are what it is the sum of."""

    score: float
    features: tuple[Feature, ...]
    scale: Scale


FEATURES: Final[Mapping[str, Callable[[Seen], float]]] = {
    "length": lambda seen: seen.chars / LONG_CHARS,
    "turns": lambda seen: (seen.turns - 1) / 10,
    "reasoning": lambda seen: _words(seen, REASONING) / 3,
    "code": lambda seen: (_words(seen, CODE_WORDS) + _signs(seen, CODE_SIGNS)) / 4,
    "maths": lambda seen: (_words(seen, MATHS_WORDS) + _signs(seen, MATHS_SIGNS)) / 3,
    "constraints": lambda seen: (_words(seen, CONSTRAINTS) + _signs(seen, LIST_SIGNS)) / 5,
    "tools": lambda seen: _length(seen.request.get("tools")) / 5,
    "schema": lambda seen: float(_has_schema(seen.request)),
    "media": lambda seen: float(has_media(seen.request)),
    "simple": lambda seen: float(len(seen.words) <= SHORT_WORDS and seen.words[:1] != [] and seen.words[0] in SIMPLE),
}
DEFAULT_SCALE: Final = Scale(
    (
        *(("length", 0.25), ("turns", 0.1), ("reasoning", 0.4), ("code", 0.3), ("maths", 0.3)),
        *(("constraints", 0.2), ("tools", 0.15), ("schema", 0.1), ("media", 0.2), ("simple", -0.25)),
    )
)


def judge(request: Mapping[str, Any], scale: Scale = DEFAULT_SCALE) -> Complexity:
    """The score of a request, with all that it is made of."""
    seen = _look(request)
    features = tuple(
        Feature(name, round(min(1.0, max(0.0, FEATURES[name](seen))), 3), weight) for name, weight in scale.weights
    )
    score = sum(feature.value * feature.weight for feature in features)
    return Complexity(round(min(1.0, max(0.0, score)), 3), features, scale)


def _look(request: Mapping[str, Any]) -> Seen:
    last, chars, turns = "", 0, 0
    for role, text in read_turns(request):
        chars += len(text)
        if role == "user":
            last, turns = text, turns + 1
    last = last[:LONGEST_READ]
    return Seen(request, last, WORD.findall(last.lower()), chars, turns)


def _words(seen: Seen, known: frozenset[str]) -> int:
    return sum(map(known.__contains__, seen.words))


def _signs(seen: Seen, known: tuple[str, ...]) -> int:
    return sum(map(seen.last.count, known))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _has_schema(request: Mapping[str, Any]) -> bool:
    asked = request.get("response_format")
    return isinstance(asked, dict) and asked.get("type") in ("json_schema", "json_object")
