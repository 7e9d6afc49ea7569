"""Questions that are alike and differ in a word that matters are told apart; paraphrases are not."""

import pytest

from spanwell_proxy.caches.semantic.guard import find_difference


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I reset my password?", "How can I reset my password?"),
        ("What is the capital of France?", "Tell me the capital of France"),
        ("Explain how photosynthesis works", "How does photosynthesis work?"),
        ("What's the weather like in Paris today?", "How is the weather in Paris today?"),
        ("Please summarise the refund policy.", "summarise the refund policies"),
        ("What is a recomendation letter?", "What is a recommendation letter?"),
        ("how many people live in Berlin", "How many people live in Berlin?"),
    ],
)
def test_a_paraphrase_passes(one: str, other: str) -> None:
    assert find_difference(one, other) is None
    assert find_difference(other, one) is None


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("population in 2023", "population in 2024", "number"),
        ("add two eggs", "add three eggs", "number"),
        ("is x > y", "is x < y", "number"),
        ("Can I eat raw eggs", "Can I not eat raw eggs", "negation"),
        ("coffee with sugar", "coffee without sugar", "negation"),
        ("Kann ich das essen", "Kann ich das nicht essen", "negation"),
        ("What is the capital of France?", "What is the capital of Spain?", "name"),
        ("flights from Rome to Paris", "flights from Paris to Rome", "name"),
        ("how do i enable the cache", "how do i disable the cache", "opposite"),
        ("how to import data", "how to export data", "opposite"),
        ("how do i rent a car", "how do i lease a car", "opposite"),
        ("the second president", "the third president", "order"),
        ("dog bites man", "man bites dog", "order"),
        ("Is it safe to take ibuprofen?", "Is it safe to take ibuprofen combined with alcohol?", "clause"),
        ("review this code", "review this code and fix the bug", "clause"),
        ("side effects of aspirin", "side effects of ibuprofen", "word"),
        ("sort a list in python", "sort a list in rust", "word"),
        ("explain tcp", "explain udp", "word"),
        ("How do I cancel?", "How do I subscribe?", "word"),
        ("请问我应该如何在这个系统里启用缓存", "请问我应该如何在这个系统里禁用缓存", "word"),
        ("можно ли есть сырые яйца зимой", "можно ли не есть сырые яйца зимой", "negation"),
        ("is java faster than python at sorting lists", "is python faster than java at sorting lists", "order"),
        ("does the red team beat the blue team in soccer", "does the blue team beat the red team in soccer", "order"),
        ("-5 degrees in kelvin", "5 degrees in kelvin", "number"),
    ],
)
def test_a_near_miss_is_kept_apart(one: str, other: str, reason: str) -> None:
    assert find_difference(one, other) == reason
    assert find_difference(other, one)


@pytest.mark.parametrize("text", ["", "?", "🎉🎉", "a" * 2000, "1 " * 900, "\x00\ud800"])
def test_any_text_is_like_itself(text: str) -> None:
    assert find_difference(text, text) is None
