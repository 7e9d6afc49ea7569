"""Which windows of time are compared, and which prompts stand in them. Pure; drift_checks.py fetches and stores."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from spanwell_collector.worker.client import Sample, Span
from spanwell_collector.worker.drift import Prompt
from spanwell_collector.worker.messages import last_user_text
from spanwell_collector.worker.sections import DriftSection

HISTORY = timedelta(hours=24)
PROMPT_CHARS = 2_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimedPrompt(NamedTuple):
    """A prompt and when it was asked."""

    ts: datetime
    prompt: Prompt


class Window(NamedTuple):
    """Two neighbouring stretches of time."""

    reference: Span
    current: Span


class Sides(NamedTuple):
    """The prompts of a window."""

    reference: list[Prompt]
    current: list[Prompt]


def window_ending(end: datetime, section: DriftSection) -> Window:
    start = end - timedelta(minutes=section.window_minutes)
    return Window(reference=Span(start - timedelta(minutes=section.reference_minutes), start), current=Span(start, end))


def live_window(now: datetime, section: DriftSection) -> Window:
    """The window that has just ended; its end moves in steps of `every_seconds`."""
    return window_ending(_floor(now, timedelta(seconds=section.every_seconds)), section)


def past_windows(now: datetime, section: DriftSection) -> list[Window]:
    """The windows of the last 24 hours in steps of their own length, newest first."""
    length = timedelta(minutes=section.window_minutes)
    newest = _floor(now, length)
    count = int((newest - (now - HISTORY)) / length) + 1
    return [window_ending(newest - index * length, section) for index in range(count)]


def prompt_of(sample: Sample) -> TimedPrompt | None:
    """What was asked last, and by whom: by session, else by user, else a call stands for itself."""
    text = last_user_text(sample.input)[:PROMPT_CHARS]
    session = sample.session_id or sample.user_id or sample.trace_id
    return TimedPrompt(sample.ts, Prompt(session, text)) if text else None


def sides_of(window: Window, prompts: Iterable[TimedPrompt]) -> Sides:
    """The prompts of both sides of the window, in order of time."""
    ordered = sorted(prompts)
    return Sides(_within(window.reference, ordered), _within(window.current, ordered))


def has_enough(sides: Sides, min_sessions: int) -> bool:
    """Whether each side holds `min_sessions` sessions."""
    return all(len({prompt.session for prompt in side}) >= min_sessions for side in sides)


def _within(span: Span, prompts: list[TimedPrompt]) -> list[Prompt]:
    return [prompt.prompt for prompt in prompts if span.start <= prompt.ts < span.end]


def _floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - EPOCH) % step
