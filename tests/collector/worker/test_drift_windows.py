from datetime import UTC, datetime, timedelta

from spanwell_collector.worker.client import Sample, Span
from spanwell_collector.worker.drift import Prompt
from spanwell_collector.worker.drift_windows import (
    TimedPrompt,
    has_enough,
    live_window,
    past_windows,
    prompt_of,
    sides_of,
    window_ending,
)
from spanwell_collector.worker.sections import DriftSection

SECTION = DriftSection()
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def test_a_window_lies_right_after_its_reference() -> None:
    window = window_ending(NOON, SECTION)

    assert window.current == Span(NOON - hours(1), NOON)
    assert window.reference == Span(NOON - hours(7), NOON - hours(1))


def test_the_live_window_ends_at_the_last_full_step() -> None:
    assert live_window(NOON + timedelta(seconds=59.9), SECTION).current.end == NOON
    assert live_window(NOON + timedelta(seconds=60), SECTION).current.end == NOON + timedelta(minutes=1)


def test_past_windows_fill_the_last_day_newest_first_on_a_fixed_grid() -> None:
    ends = [window.current.end for window in past_windows(NOON + timedelta(minutes=13), SECTION)]

    assert ends == [NOON - hours(index) for index in range(24)]


def test_prompts_fall_on_the_side_of_their_time() -> None:
    prompts = [TimedPrompt(NOON - hours(age), Prompt("s", str(age))) for age in (0, 0.5, 1, 1.5, 7, 7.5)]

    sides = sides_of(window_ending(NOON, SECTION), prompts)

    assert [prompt.text for prompt in sides.current] == ["1", "0.5"]
    assert [prompt.text for prompt in sides.reference] == ["7", "1.5"]


def test_enough_counts_sessions_and_not_prompts() -> None:
    window = window_ending(NOON, SECTION)
    reference = [TimedPrompt(NOON - hours(2), Prompt(str(number), "q")) for number in range(20)]
    many = [TimedPrompt(NOON - hours(0.5), Prompt(str(number), "q")) for number in range(20)]
    one = [TimedPrompt(NOON - hours(0.5), Prompt("same", "q")) for _ in range(20)]

    assert has_enough(sides_of(window, reference + many), 20)
    assert not has_enough(sides_of(window, reference + one), 20)


def test_a_call_belongs_to_its_session_else_to_its_user_else_to_itself() -> None:
    def session(user_id: str, session_id: str) -> str | None:
        sample = Sample("trace", "span", NOON, user_id, session_id, '[{"role": "user", "content": "q"}]', "")
        prompt = prompt_of(sample)
        return prompt and prompt.prompt.session

    assert [session("u", "s"), session("u", ""), session("", "")] == ["s", "u", "trace"]


def test_a_call_without_words_is_left_out() -> None:
    assert prompt_of(Sample("trace", "span", NOON, "", "", "", "")) is None
