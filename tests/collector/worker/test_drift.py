import numpy as np
import pytest

from spanwell_collector.worker.drift import EXAMPLE_CHARS, Prompt, detect
from tests.collector.worker.topics import deal_sessions

REPEATS = 60


def p_value(seed: int, new_topic_share: float = 0.0, current: int = 50) -> float:
    reference = deal_sessions(2 * seed, 150)
    return detect(reference, deal_sessions(2 * seed + 1, current, new_topic_share), seed=seed, permutations=499).p_value


def test_bursty_sessions_of_the_same_topics_raise_few_false_alarms() -> None:
    p_values = np.array([p_value(seed) for seed in range(REPEATS)])

    # Binomial(60, 0.01) exceeds 4 once in 3,000 such tests, Binomial(60, 0.05) exceeds 9 once in 1,000.
    assert (p_values <= 0.01).sum() <= 4
    assert (p_values <= 0.05).sum() <= 9


@pytest.mark.parametrize(("share", "sessions", "at_least"), [(0.4, 50, 0.95), (0.2, 150, 0.9)])
def test_a_new_topic_is_found(share: float, sessions: int, at_least: float) -> None:
    found = [p_value(seed, share, sessions) <= 0.01 for seed in range(20)]

    assert np.mean(found) >= at_least


def test_the_new_topic_is_named_and_shown() -> None:
    result = detect(deal_sessions(1, 200), deal_sessions(2, 60, 0.4), seed=0)

    assert result.p_value == pytest.approx(1 / 2000)
    assert {"+recall", "+powerbank", "+lithium"} & set(result.terms)
    assert all(
        "powerbank" in text or "recall" in text or "serial" in text or "lithium" in text for text in result.examples[:2]
    )
    assert result.sessions_reference == 200
    assert result.sessions_current == 60


def test_a_topic_that_has_gone_is_named_with_a_minus() -> None:
    result = detect(deal_sessions(1, 200, 0.5), deal_sessions(2, 60), seed=0)

    assert any(
        term.startswith("-") and term.strip("-") in "powerbank lithium recall hazard serial" for term in result.terms
    )


def test_where_nothing_moved_no_term_is_named() -> None:
    result = detect(deal_sessions(1, 200), deal_sessions(2, 60), seed=0)

    assert result.terms == ()


def test_one_endless_session_has_one_vote() -> None:
    flood = [Prompt("flood", "is my powerbank part of the recall")] * 500

    result = detect(deal_sessions(3, 150), [*deal_sessions(4, 50), *flood], seed=0)

    assert result.p_value > 0.01


def test_the_same_input_gives_the_same_result() -> None:
    sides = deal_sessions(5, 60), deal_sessions(6, 30)

    assert detect(*sides, seed=7) == detect(*sides, seed=7)


def test_identical_sides_are_no_drift() -> None:
    prompts = [Prompt(str(number), "the same question again") for number in range(30)]

    assert detect(prompts, prompts, seed=0).p_value == 1.0


def test_scripts_without_spaces_have_words_too() -> None:
    def asks(texts: list[str]) -> list[Prompt]:
        return [Prompt(str(number), texts[number % len(texts)]) for number in range(40)]

    result = detect(asks(["我的发票错了", "请退款给我"]), asks(["电池过热了怎么办", "充电宝召回吗"]), seed=0)

    assert result.p_value < 0.01


def test_examples_are_short_and_hold_no_secret() -> None:
    leak = f"recall sk-{'a' * 30} " + "powerbank " * 100
    reference = [Prompt(str(number), f"refund my invoice {number % 7}") for number in range(40)]

    result = detect(reference, [Prompt(str(number), leak) for number in range(40)], seed=0)

    assert all(len(text) <= EXAMPLE_CHARS and "sk-a" not in text for text in result.examples)


def test_prompts_without_a_word_in_common_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"no terms|empty vocabulary"):
        detect([Prompt("a", "alpha")], [Prompt("b", "?")], seed=0)
