"""Whether two questions that are alike may differ in a word that matters. Pure, and on the safe side.

Vectors find near misses more alike than paraphrases: "in 2023" beside "in 2024", "with" beside "without". What differs
in such a word is another question, however alike the vectors are.
"""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Final

import yaml

WORD: Final = re.compile(r"(?:(?<!\S)-)?\d+(?:[.,:/]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[%$€£¥+=<>^*&@#-]")
SENTENCE: Final = re.compile(r"[.!?:]\s+|\n+")
_WORDS: Final = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
NUMBERS: Final[dict[str, str]] = _WORDS["numbers"]
NEGATIONS, ORDINALS, LINKS, FILLERS = (
    frozenset(_WORDS[name].split()) for name in ("negations", "ordinals", "links", "fillers")
)
OPPOSITES: Final = frozenset(
    turned for pair in _WORDS["opposites"].split() for turned in (tuple(pair.split("/")), tuple(pair.split("/")[::-1]))
)
TOO_MUCH_MORE: Final = 3  # words that matter, which one question has beyond the other


def find_difference(one: str, other: str) -> str | None:
    """Why these may ask for different answers, in one word; None where nothing speaks for it."""
    ours, theirs = _words(one), _words(other)
    for name, read in (("number", _numbers), ("negation", _negations), ("order", _ordinals)):
        if read(ours) != read(theirs):
            return name
    if _names(one) != _names(other):
        return "name"
    if _is_turned(ours, theirs):
        return "opposite"
    mine, yours = _matter(ours), _matter(theirs)
    if _is_clause_added(ours, theirs, mine, yours):
        return "clause"
    if _is_one_word_replaced(mine, yours):
        return "word"
    if _is_reordered(mine, yours):
        return "order"
    return None


def _words(text: str) -> list[str]:
    return [word.replace("’", "'").lower() for word in WORD.findall(text)]


def _numbers(words: Sequence[str]) -> Counter[str]:
    found = (word if word[-1].isdigit() else NUMBERS.get(word) for word in words)
    signs = (word for word in words if not word[-1].isalnum() and word != "-")
    return Counter(filter(None, found)) + Counter(signs)


def _negations(words: Sequence[str]) -> int:
    return sum(word in NEGATIONS or word.endswith("n't") for word in words)


def _ordinals(words: Sequence[str]) -> Counter[str]:
    return Counter(word for word in words if word in ORDINALS)


def _names(text: str) -> list[str]:
    """Words written large where grammar does not ask for it, in order: `Rome to Paris` is not `Paris to Rome`."""
    found: list[str] = []
    for sentence in SENTENCE.split(text):
        words = [word for word in WORD.findall(sentence) if word[0].isalpha()]
        inner = [word for at, word in enumerate(words) if word[0].isupper() and (at or word[1:].lower() != word[1:])]
        found += [word.lower().removesuffix("'s") for word in inner if word not in ("I", "I'm", "I've", "I'd")]
    return found


def _is_turned(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    mine, yours = set(ours), set(theirs)
    return any((word, other) in OPPOSITES for word in mine - yours for other in yours - mine)


def _matter(words: Sequence[str]) -> list[str]:
    return [_stem(word) for word in words if word not in FILLERS and word[-1].isalnum()]


def _stem(word: str) -> str:
    """Without an ending of English: `deleted` and `deleting` are one word here, and so are `cat` and `cats`."""
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)].rstrip("ey")
    return word.rstrip("ey") if len(word) > 4 else word


def _is_clause_added(ours: Sequence[str], theirs: Sequence[str], mine: Sequence[str], yours: Sequence[str]) -> bool:
    more = (Counter(mine) - Counter(yours), Counter(yours) - Counter(mine))
    if abs(len(mine) - len(yours)) >= TOO_MUCH_MORE:
        return True
    is_linked = (set(ours) & LINKS) != (set(theirs) & LINKS)
    return is_linked and any(part.total() >= 1 for part in more)


def _is_one_word_replaced(mine: Sequence[str], yours: Sequence[str]) -> bool:
    """`capital of France` beside `capital of Spain`, in small letters."""
    changes = [code for code in SequenceMatcher(None, mine, yours, autojunk=False).get_opcodes() if code[0] != "equal"]
    if len(changes) != 1:
        return False
    kind, begin, end, other_begin, other_end = changes[0]
    if kind != "replace" or end - begin != 1 or other_end - other_begin != 1:
        return kind != "replace" and max(end - begin, other_end - other_begin) == 1 and min(len(mine), len(yours)) <= 3
    return not _is_misspelt(mine[begin], yours[other_begin])


def _is_reordered(mine: Sequence[str], yours: Sequence[str]) -> bool:
    """The same words in another order: `dog bites man`."""
    return mine != yours and Counter(mine) == Counter(yours)


def _is_misspelt(one: str, other: str) -> bool:
    if one.upper() == one:  # a script without capitals, and maybe without spaces: this is no single word
        return False
    return min(len(one), len(other)) >= 5 and SequenceMatcher(None, one, other, autojunk=False).ratio() >= 0.85
