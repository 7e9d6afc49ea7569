"""A day of traffic that never happened: when which app asked what, and what came back. Pure and deterministic.

The parts are the live demo's own: the same sessions, models, timings, prices and caches. Only the clock is made up.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from spanwell.demo.answers import draw, is_weak
from spanwell.demo.calls import Failure, PastCall, agent_spans, answer_message, call_span
from spanwell.demo.drafts import compose_draft
from spanwell.demo.json_answers import judge_quality
from spanwell.demo.otlp import Span
from spanwell.demo.planted import HISTORY, SEED, SHIFT_SINCE, SHIFTED_APP, SLOW_SHARE, SLOW_SINCE
from spanwell.demo.profiles import FLAKY, MODELS, QWEN, SLOW, STEADY, ModelProfile, draw_timing
from spanwell.demo.sessions import CALLS_A_SESSION, Dealer, Deck, Message, Session
from spanwell.demo.tokens import PrefixCache, prompt_pieces
from spanwell.demo.tools import rerank, retrieve, track_parcel, with_context
from spanwell.pricing import Usage

RAMP = timedelta(hours=2, minutes=30)  # traffic rises towards the rate of the live demo
TIMEOUT_MS = 6_000.0
CACHE_TTL_NS = 600 * 10**9
TIMEOUT = Failure(status=504, kind="upstream_timeout", message="the backend did not answer in time")
TOO_LONG = Failure(status=400, kind="upstream_400", message="This model's maximum context length is 2048 tokens.")
BACKFILLED = "backfilled by the demo"

Score = dict[str, Any]


class Entry(NamedTuple):
    """What one call left behind: its spans, by the app that owns them, and the scores on them."""

    app: str
    spans: list[Span]
    scores: list[Score]


@dataclass
class _Talk:
    """A session under way."""

    session: Session
    messages: list[Message] = field(default_factory=list)


class _Turn(NamedTuple):
    at_ns: int
    talk: _Talk
    question: str
    is_last: bool


def generate_history(now: datetime, seed: int = SEED) -> Iterator[Entry]:
    """Every call of the day before `now`, in the order of time."""
    world = _World(now, Random(seed))  # noqa: S311 - a simulation, not a secret
    for turn in sorted(world.plan(), key=lambda turn: turn.at_ns):
        yield from world.play(turn)


def calls_per_minute(age: timedelta, hour: float) -> float:
    """The daily curve at `hour` (0 to 24), and the ramp of the last hours; `age` counts back from now."""
    daily = 2.5 + 4.5 * max(0.0, math.sin(math.pi * (hour - 6) / 15))
    nearness = max(0.0, 1 - age / RAMP)
    return daily + 66 * nearness * nearness * (3 - 2 * nearness)


class _World:
    """The state that calls leave behind for the next: caches, decks and chance."""

    def __init__(self, now: datetime, random: Random) -> None:
        self._now = now
        self._random = random
        self._dealer = Dealer(random, "h")
        self._prefixes = {model.name: PrefixCache(model.kv_cache_tokens) for model in MODELS}
        self._canary = Deck([SLOW] * round(SLOW_SHARE * 10) + [STEADY] * round(10 - SLOW_SHARE * 10), random)
        self._answers: dict[str, tuple[int, PastCall]] = {}

    def plan(self) -> Iterator[_Turn]:
        """The turns of all sessions that begin within the day; those after `now` never happen."""
        now_ns = _nanoseconds(self._now)
        for start in self._session_starts():
            session = self._dealer.deal_session(self._dealer.deal_app(), shifted=start >= self._now - SHIFT_SINCE)
            talk, at_ns = _Talk(session, [{"role": "system", "content": session.system}]), _nanoseconds(start)
            for number, question in enumerate(session.questions, start=1):
                if at_ns < now_ns - 10**10:  # the answer must end in the past as well
                    yield _Turn(at_ns, talk, question, number == len(session.questions))
                at_ns += int(self._random.uniform(15, 75) * 1e9)

    def _session_starts(self) -> Iterator[datetime]:
        minute, due = self._now - HISTORY, 0.0
        while minute < self._now:
            due += calls_per_minute(self._now - minute, minute.hour + minute.minute / 60) / CALLS_A_SESSION
            count, due = int(due), due % 1
            offsets = sorted(self._random.uniform(0, 60) for _ in range(count))
            yield from (minute + timedelta(seconds=offset) for offset in offsets)
            minute += timedelta(minutes=1)

    def play(self, turn: _Turn) -> Iterator[Entry]:
        """One turn: a call, and a second one if the model wanted a tool."""
        turn.talk.messages.append({"role": "user", "content": _prompt(turn)})
        call = self._call(turn.talk.session, turn.talk.messages, turn.at_ns)
        yield self._entry(call, turn)
        if call.draft is None:
            turn.talk.messages.pop()
            return
        turn.talk.messages.append(answer_message(call.draft))
        if call.draft.tool_call is not None:
            result = track_parcel(call.draft.tool_call.arguments)
            tool_message = {"role": "tool", "tool_call_id": call.draft.tool_call.id, "content": result}
            turn.talk.messages.append(tool_message)
            second = self._call(turn.talk.session, turn.talk.messages, call.end_ns + 40_000_000)
            yield self._entry(second, turn)
            if second.draft is not None:
                turn.talk.messages.append(answer_message(second.draft))

    def _call(self, session: Session, messages: list[Message], at_ns: int) -> PastCall:
        key = session.system + messages[-1]["content"]
        stored = self._answers.get(key)
        if stored is not None and at_ns - stored[0] < CACHE_TTL_NS:
            return self._hit(stored[1], session, messages, at_ns)
        call = self._ask_model(session, messages, at_ns)
        if call.draft is not None and session.app.name == "help-center":
            self._answers[key] = (at_ns, call)
        return call

    def _hit(self, stored: PastCall, session: Session, messages: list[Message], at_ns: int) -> PastCall:
        streamed = self._random.random() < session.app.streams
        duration_ms = self._random.uniform(1.0, 3.5)
        return PastCall(
            trace_id=self._random.randbytes(16),
            span_id=self._random.randbytes(8),
            session=session,
            messages=list(messages),
            model=stored.model,
            start_ns=at_ns,
            duration_ms=duration_ms,
            ttft_ms=duration_ms * 0.8 if streamed else None,
            usage=stored.usage,
            draft=stored.draft,
            cache="hit",
            attempts=0,
        )

    def _ask_model(self, session: Session, messages: list[Message], at_ns: int) -> PastCall:
        model, attempts, failure = self._pick_model(session, at_ns)
        pieces = prompt_pieces(messages)
        cached, created = self._prefixes[model.name].admit(pieces)
        body = {"messages": messages, "tools": session.tools}
        draft = None if failure else compose_draft(body, model, SEED)
        timing = draw_timing(model, len(pieces) - cached, self._random)
        output_tokens = len(draft.pieces) if draft else 0
        duration_ms = TIMEOUT_MS if failure is TIMEOUT else timing.duration_ms(output_tokens)
        streamed = draft is not None and self._random.random() < session.app.streams
        return PastCall(
            trace_id=self._random.randbytes(16),
            span_id=self._random.randbytes(8),
            session=session,
            messages=list(messages),
            model=model,
            start_ns=at_ns,
            duration_ms=duration_ms + 280 * (attempts - 1),
            ttft_ms=timing.ttft_ms if streamed else None,
            usage=Usage(input=len(pieces), output=output_tokens, cached=cached, cache_write=created),
            draft=draft,
            attempts=attempts,
            fallback_from=session.app.model if attempts == 3 else "",
            failure=failure,
        )

    def _pick_model(self, session: Session, at_ns: int) -> tuple[ModelProfile, int, Failure | None]:
        """Which model answers, after how many attempts, or how the call fails."""
        failure = TIMEOUT if self._random.random() < 0.002 else None
        match session.app.model:
            case "support-chat":
                slow_since_ns = _nanoseconds(self._now - SLOW_SINCE)
                return (self._canary.deal() if at_ns >= slow_since_ns else STEADY), 1, failure
            case "llama-8b":
                return STEADY, 1, failure
            case "summarizer":
                if self._random.random() < 0.02:
                    return FLAKY, 1, TOO_LONG
                tries = 1 + sum(self._random.random() < FLAKY.error_rate for _ in range(2))
                return (STEADY if tries == 3 else FLAKY), tries, failure
        return QWEN, 1, failure

    def _entry(self, call: PastCall, turn: _Turn) -> Entry:
        spans = agent_spans(call, self._random) if call.session.app.name == "docs-agent" else [call_span(call)]
        return Entry(call.session.app.name, spans, list(self._scores(call, turn.is_last)))

    def _scores(self, call: PastCall, is_last: bool) -> Iterator[Score]:
        if call.draft is None or call.cache == "hit" or call.draft.tool_call is not None:
            return
        chance = draw(SEED, call.session.id, call.draft.text)
        if chance.random() < 0.15:
            passed = judge_quality(call.draft.text) >= 0.5
            yield _score(call, "helpfulness", passed, "judge", "judge") | {"sample_share": 0.15}
        if call.session.app.name == SHIFTED_APP and is_last and chance.random() < 0.15:
            pleased = chance.random() < (0.2 if is_weak(call.draft.text) else 0.92)
            yield _score(call, "user-feedback", pleased, "user", call.session.user)


def _prompt(turn: _Turn) -> str:
    if turn.talk.session.app.name != "docs-agent":
        return turn.question
    return with_context(turn.question, rerank(retrieve(turn.question)))


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


def _score(call: PastCall, name: str, good: bool, source: str, author: str) -> Score:
    after = timedelta(seconds=20 if source == "user" else 5)
    return {
        "trace_id": call.trace_id.hex(),
        "span_id": call.span_id.hex(),
        "name": name,
        "value": 1.0 if good else 0.0,
        "label": "pass" if good else "fail",
        "comment": BACKFILLED,
        "source": source,
        "author": author,
        "ts": (datetime.fromtimestamp(call.end_ns / 1e9, tz=UTC) + after).isoformat(),
    }
