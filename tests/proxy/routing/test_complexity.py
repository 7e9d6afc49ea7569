import pytest

from spanwell_proxy.routing.complexity import DEFAULT_SCALE, FEATURES, Scale, judge


def ask(text: str, **others: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], **others}


@pytest.mark.parametrize(
    ("easier", "harder"),
    [
        ("Hi!", "Compare the two designs and explain why the first one leaks memory."),
        ("What is the capital of Italy?", "Prove the theorem, then derive the integral step by step."),
        ("Translate: good morning", "Refactor this:\n```python\ndef f():\n    return {}\n```\nIt must never raise."),
    ],
)
def test_harder_questions_score_higher(easier: str, harder: str) -> None:
    assert judge(ask(easier)).score < 0.2 < judge(ask(harder)).score


def test_the_score_is_the_sum_that_is_shown() -> None:
    complexity = judge(ask("Design an api. It must be exactly one page.", tools=[{}, {}]))

    assert complexity.score == pytest.approx(sum(one.value * one.weight for one in complexity.features), abs=0.001)
    assert [one.name for one in complexity.features] == list(FEATURES)


def test_weights_can_be_changed() -> None:
    assert judge(ask("x" * 8000), Scale((("length", 1.0),))).score == 1.0


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"messages": None},
        {"messages": [None, 3, {"content": 5}, {"role": [], "content": [None, {"type": "text"}]}]},
        {"messages": [{"role": "user", "content": "\ud800"}]},
        {"input": [["x"], {}], "tools": "many", "response_format": "json"},
    ],
)
def test_hostile_requests_have_a_score(request_: dict[str, object]) -> None:
    assert 0 <= judge(request_, DEFAULT_SCALE).score <= 1


def test_parts_of_all_apis_are_read() -> None:
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "why"}, {"type": "image_url"}]}]}
    values = {one.name: one.value for one in judge(parts).features}

    assert (values["reasoning"], values["media"]) == (0.333, 1.0)
