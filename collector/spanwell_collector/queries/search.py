"""Finds texts that contain some words, whatever their language and case.

A text is found when it contains what is searched for after both are case-folded; the index of migration 0006 only says
where not to look. It holds the words of ASCII text, of which any part is found, and pairs and triples of letters of
every word with another letter in it: most scripts have no words that could be listed.
"""

import re
from typing import Any, Final, NamedTuple

import orjson

from spanwell_collector.store.client import Store

FOLD: Final = "SELECT arrayMap(word -> caseFoldUTF8(word), {words:Array(String)}) AS folded"
ASCII_RUN: Final = re.compile(r"[0-9a-z]{4,}")  # shorter ones are in too many words to look them up
OTHER_RUN: Final = re.compile(r"[0-9a-z]*[^\x00-\x7f][0-9a-z\x80-\U0010ffff]*")


class Search(NamedTuple):
    """A condition on spanwell.texts, and what it binds."""

    condition: str
    parameters: dict[str, Any]


def search_texts(store: Store, words: str) -> Search:
    """Texts that contain `words`. Texts are JSON, so what JSON escapes is found too when it is searched for bare."""
    escaped = orjson.dumps(words).decode()[1:-1]
    spellings = [words] if escaped == words else [words, escaped]
    folded = store.query(FOLD, {"words": spellings}).column("folded").to_pylist()[0]
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    for index, word in enumerate(folded):
        condition, bound = _contain(word, f"word_{index}")
        conditions.append(condition)
        parameters |= bound
    return Search("(" + " OR ".join(conditions) + ")", parameters)


def _contain(word: str, name: str) -> tuple[str, dict[str, Any]]:
    exact = " OR ".join(f"position(caseFoldUTF8({column}), {{{name}:String}}) > 0" for column in ("input", "output"))
    conditions = [f"({exact})"]
    bound: dict[str, Any] = {name: word}
    for index, run in enumerate(dict.fromkeys(ASCII_RUN.findall(word))):
        conditions.append(f"words LIKE {{{name}_like_{index}:String}}")
        bound[f"{name}_like_{index}"] = f"%{run}%"
    if grams := list_grams(word):
        conditions.append(f"hasAllTokens(grams, {{{name}_grams:Array(String)}})")
        bound[f"{name}_grams"] = grams
    return "(" + " AND ".join(reversed(conditions)) + ")", bound


def list_grams(folded: str) -> list[str]:
    """Triples of letters of each run with a letter beyond ASCII, a pair where the run is one: all are in the index."""
    found: dict[str, None] = {}
    for run in OTHER_RUN.findall(folded):
        size = min(3, len(run))
        found |= dict.fromkeys(run[at : at + size] for at in range(len(run) - size + 1) if size > 1)
    return list(found)
