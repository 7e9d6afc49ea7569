"""What one LLM call of the history left behind: the proxy's span, and the SDK's around an agent's. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any

import orjson

from spanwell import conventions as c
from spanwell.demo.config import DEMO_TEAM
from spanwell.demo.drafts import Draft
from spanwell.demo.otlp import CLIENT, ERROR, OK, UNSET, Span, Value
from spanwell.demo.profiles import ModelProfile, price_of
from spanwell.demo.sessions import Message, Session
from spanwell.demo.tools import rerank, retrieve
from spanwell.messages import to_message
from spanwell.pricing import Usage, cost_usd, write_usd

AGENT = "docs-agent"
SEARCH = "search_docs"
RANK = "rank_passages"
PROVIDER = "hosted_vllm"
FALLBACK_GROUP = "llama-8b"
OVERHEAD_MS = 0.4
MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What the client was told instead of an answer."""

    status: int
    kind: str
    message: str


@dataclass(frozen=True, kw_only=True)
class PastCall:
    """One call and how it went. `draft` is None for a failure; a cache hit has the draft that was stored."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes = b""
    session: Session
    messages: Sequence[Message]
    model: ModelProfile  # that answered, or failed last
    start_ns: int
    duration_ms: float
    ttft_ms: float | None
    usage: Usage
    draft: Draft | None
    cache: c.CacheVerdict = "miss"
    attempts: int = 1
    fallback_from: str = ""
    failure: Failure | None = None

    @property
    def end_ns(self) -> int:
        return self.start_ns + int(self.duration_ms * MILLISECOND_NS)


def answer_message(draft: Draft) -> Message:
    """The assistant's message, as it is stored and as it goes into the next turn."""
    if draft.tool_call is None:
        return {"role": "assistant", "content": draft.text}
    function = {"name": draft.tool_call.name, "arguments": draft.tool_call.arguments}
    call = {"id": draft.tool_call.id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def call_span(call: PastCall) -> Span:
    """The span, texts included."""
    return Span(
        trace_id=call.trace_id,
        span_id=call.span_id,
        parent_id=call.parent_id,
        name=f"chat {call.session.app.model}",
        kind=CLIENT,
        status=ERROR if call.failure else OK,
        message=call.failure.message if call.failure else "",
        start_ns=call.start_ns,
        end_ns=call.end_ns,
        attributes=_request_facts(call) | _outcome_facts(call) | _money(call) | _texts(call),
    )


def agent_spans(call: PastCall, random: Random) -> list[Span]:
    """invoke_agent, and in it retrieval, execute_tool and the chat that `call` is, one after the other."""
    question = call.session.questions[0]
    found = retrieve(question)
    best = rerank(found)
    reranked_ns = call.start_ns - MILLISECOND_NS
    retrieved_ns = reranked_ns - int(random.uniform(6, 14) * MILLISECOND_NS)
    began_ns = retrieved_ns - int(random.uniform(18, 60) * MILLISECOND_NS)
    run_id = random.randbytes(8)
    answer = call.draft.text if call.draft else None
    run = _step(call, run_id, AGENT, {c.OPERATION: "invoke_agent", c.AGENT_NAME: AGENT})
    search = _step(call, random.randbytes(8), SEARCH, {c.OPERATION: "retrieval"})
    tool = _step(call, random.randbytes(8), RANK, {c.OPERATION: "execute_tool", c.TOOL_NAME: RANK})
    return [
        _timed(run, b"", began_ns, call.end_ns + MILLISECOND_NS, {"question": question}, answer),
        _timed(search, run_id, began_ns + MILLISECOND_NS // 2, retrieved_ns, {"question": question}, found),
        _timed(tool, run_id, retrieved_ns, reranked_ns, {"passages": found}, best),
        call_span(replace(call, parent_id=run_id)),
    ]


def _step(call: PastCall, span_id: bytes, name: str, facts: Mapping[str, Value]) -> Span:
    session = call.session
    shared: dict[str, Value] = {
        c.APP: session.app.name,
        c.USER_ID: session.user,
        c.SESSION_ID: session.id,
        c.SIMULATED: True,
    }
    failed = call.failure is not None and facts[c.OPERATION] == "invoke_agent"
    return Span(
        trace_id=call.trace_id,
        span_id=span_id,
        name=name,
        start_ns=0,
        end_ns=0,
        status=ERROR if failed else UNSET,
        attributes={**shared, **facts, **({c.ERROR_TYPE: call.failure.kind} if failed and call.failure else {})},
    )


def _timed(span: Span, parent_id: bytes, start_ns: int, end_ns: int, given: Any, got: Any) -> Span:
    texts: dict[str, Value] = {c.INPUT: orjson.dumps(given).decode()}
    texts |= {} if got is None else {c.OUTPUT: orjson.dumps(got).decode()}
    return replace(span, parent_id=parent_id, start_ns=start_ns, end_ns=end_ns, attributes={**span.attributes, **texts})


def _request_facts(call: PastCall) -> dict[str, Value]:
    app = call.session.app
    group = FALLBACK_GROUP if call.fallback_from else app.model
    return {
        c.OPERATION: "chat",
        c.PROVIDER: PROVIDER,
        c.REQUEST_MODEL: app.model,
        c.STREAM: call.ttft_ms is not None,
        c.APP: app.name,
        c.USER_ID: call.session.user,
        c.SESSION_ID: call.session.id,
        c.TEAM: DEMO_TEAM,
        c.DEPLOYMENT: f"{group}/{call.model.name}",
        c.ATTEMPTS: call.attempts,
        c.CACHE: call.cache,
        c.SIMULATED: True,
        **({c.FALLBACK_FROM: call.fallback_from} if call.fallback_from else {}),
    }


def _outcome_facts(call: PastCall) -> dict[str, Value]:
    if call.failure is not None or call.draft is None:
        failure = call.failure or Failure(status=500, kind="unknown", message="")
        return {c.HTTP_STATUS: failure.status, c.ERROR_TYPE: failure.kind}
    timing: dict[str, Value] = {} if call.ttft_ms is None else {c.TIME_TO_FIRST_CHUNK_S: call.ttft_ms / 1000}
    return timing | {
        c.HTTP_STATUS: 200,
        c.RESPONSE_MODEL: call.model.name,
        c.FINISH_REASONS: call.draft.finish_reason,
        c.OVERHEAD_MS: OVERHEAD_MS,
        c.INPUT_TOKENS: call.usage.input,
        c.OUTPUT_TOKENS: call.usage.output,
        c.CACHE_READ_TOKENS: call.usage.cached,
        c.CACHE_WRITE_TOKENS: call.usage.cache_write,
    }


def _money(call: PastCall) -> dict[str, Value]:
    if call.failure is not None:
        return {}
    price = price_of(call.model)
    full = cost_usd(call.usage, price)
    paid, saved = (Decimal(0), full) if call.cache == "hit" else (full, Decimal(0))
    facts: dict[str, Value] = {c.COST_USD: write_usd(paid), c.PRICE_VERSION: price.version}
    return facts | ({c.SAVED_USD: write_usd(saved)} if saved else {})


def _texts(call: PastCall) -> dict[str, Value]:
    texts: dict[str, Value] = {c.INPUT_MESSAGES: _json([to_message(message) for message in call.messages])}
    return texts | ({c.OUTPUT_MESSAGES: _json([to_message(answer_message(call.draft))])} if call.draft else {})


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
