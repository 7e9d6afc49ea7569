"""One run of the documents' agent in the history: the spans the SDK would have written around its call. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import orjson

from spanwell import conventions as c
from spanwell.demo.calls import MILLISECOND_NS, PastCall, call_span
from spanwell.demo.otlp import ERROR, UNSET, Span, Value
from spanwell.demo.tools import rerank, retrieve

AGENT = "docs-agent"
SEARCH = "search_docs"
RANK = "rank_passages"


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
