"""Search finds exactly what a plain search for the substring finds, with its indexes and without."""

import random
from collections.abc import Iterator
from datetime import timedelta

import orjson
import pytest

from spanwell_collector.queries.picking import drive_by_texts, pick_traces
from spanwell_collector.queries.search import list_grams, search_texts
from spanwell_collector.queries.selection import Selection
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from tests.collector.queries.conftest import NOW, span_id, trace_id

WORDS = [
    "refund", "Refunds", "preREFUNDed", "naïve", "NAÏVE", "Straße", "STRASSE", "ΟΔΟΣ", "οδός", "İstanbul", "łódź",
    "ĿÓDŹ", "Überraschung", "100%", "a_b", "a%b", "C:\\temp", '"quoted"', "'single'", "{brace}", "[list]", "\\n", "\\",
    "zwölf", "über-raschung", "fünf_sechs", "12345", "3.14", "ok", "e\u0301", "é", "ﬁne", "fine", "\t", "tab\tbed",
    "x", "λ", "", "払い戻しの期限", "期限", "払い", "東京", "京都", "東京都", "日", "한국어", "한국",
    "مرحبا", "بالعالم", "العالم", "привет", "ПРИВЕТ", "мир", "🎉", "🎉🎊", "👩\u200d👧",
]  # fmt: skip
NEEDLES = [
    *filter(None, WORDS), "fund", "EFUND", "funded", "aïv", "ss", "ß", "οδος", "istanbul", "i̇stanbul", "ódź",
    "0%", "_", "%", '"', "'", "戻し", "戻しの期", "京", "العا", "риве", "🎊", "🎉🎊 ", "👩", "refund ",
    "nd Ref", " 東京", "期限 払",
    "мир 🎉", "\n", "1234", "sechs 123", "}]}]", '"role"', 'user","parts', "nothing here",
    "払戻", "東 京", "[list] 払い", "  ",
]  # fmt: skip


@pytest.fixture(scope="module")
def texts() -> list[tuple[str, str]]:
    dice = random.Random(7)
    made = []
    for _ in range(300):
        said, answered = (" ".join(dice.choices(WORDS, k=dice.randint(0, 9))) for _ in range(2))
        message = [{"role": "user", "parts": [{"type": "text", "content": said}]}]
        made.append((orjson.dumps(message).decode(), answered))
    return made


@pytest.fixture(scope="module", params=["fresh", "half merged", "merged"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]]
) -> Iterator[Store]:
    """A store with these texts: as inserts leave them, without indexes, or as merges do, or some of either."""
    store = Store(path=tmp_path_factory.mktemp("texts"))
    migrate(store, load_migrations())
    columns = ["project", "ts", "trace_id", "span_id", "input", "output"]
    rows = [
        ("p", NOW - timedelta(seconds=index), trace_id(index), span_id(index), *text)
        for index, text in enumerate(texts)
    ]
    store.insert("texts", rows[:150], columns)
    if request.param == "half merged":
        store.command("OPTIMIZE TABLE spanwell.texts FINAL")
    store.insert("texts", rows[150:], columns)
    if request.param == "merged":
        store.command("OPTIMIZE TABLE spanwell.texts FINAL")
    yield store
    store.close()


def test_what_is_found_is_what_contains_it(filled: Store, texts: list[tuple[str, str]]) -> None:
    wrong = {}
    for needle in NEEDLES:
        expected = {trace_id(index) for index, text in enumerate(texts) if _contains(text, needle)}
        found = _find(filled, needle)
        if found != expected:
            wrong[needle] = (len(found - expected), len(expected - found))

    assert wrong == {}


def _contains(text: tuple[str, str], needle: str) -> bool:
    spellings = (needle, orjson.dumps(needle).decode()[1:-1])
    return any(word.casefold() in part.casefold() for word in spellings for part in text)


def _find(store: Store, needle: str) -> set[str]:
    selection = Selection("p", NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    found = search_texts(store, needle)
    driver = drive_by_texts(selection, found.condition, found.parameters)
    picked = pick_traces(store, selection, driver, after=None, limit=1000)
    return {one.id for one in picked.traces}


@pytest.mark.parametrize("needle", ["refund", "naïve", "期限", "риве", "العا", "🎉🎊"])
def test_an_index_is_asked(filled: Store, needle: str) -> None:
    found = search_texts(filled, needle)
    sql = f"EXPLAIN indexes = 1 SELECT count() FROM spanwell.texts WHERE {found.condition}"

    plan = "\n".join(filled.query(sql, found.parameters).column("explain").to_pylist())

    assert ("by_words" if needle.isascii() else "by_grams") in plan


def test_grams_are_those_that_the_index_holds() -> None:
    assert list_grams("naïve plan 東京 x 日") == ["naï", "aïv", "ïve", "東京"]
