"""The demo's applications at work: each a few lines around the stock openai client, as anybody's would be."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import openai
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta

import spanwell
from spanwell.conventions import HEADER_APP, HEADER_SESSION, HEADER_USER
from spanwell.demo.calls import AGENT, answer_message
from spanwell.demo.drafts import Draft, ToolCall
from spanwell.demo.sessions import Message, Session, conversation
from spanwell.demo.tokens import tokenize
from spanwell.demo.tools import Passage, rerank, retrieve, track_parcel, with_context

INDEX_S = 0.03  # an index on another machine would take as long
LEAVES_EARLY = 0.02  # share of streams whose reader goes away


@dataclass(frozen=True)
class Answer:
    """What came back, and the trace it came in."""

    draft: Draft
    trace_id: str
    span_id: str


async def run_session(
    client: openai.AsyncOpenAI, session: Session, random: Random, *, pace: float = 1.0
) -> Answer | None:
    """Ask a session's questions one after the other; the last answer. `pace` 0 leaves no time to think.

    Raises openai's errors.
    """
    if session.app.name == AGENT:
        await answer_from_docs(client, session, session.questions[0])
        return None
    answer: Answer | None = None
    for messages in conversation(session):
        if answer is not None:
            await asyncio.sleep(pace * random.uniform(2, 6))  # the user reads, thinks and types
        answer = await _take_turn(client, session, messages, random)
    return answer


async def _take_turn(client: openai.AsyncOpenAI, session: Session, messages: list[Message], random: Random) -> Answer:
    """Get an answer, by way of a tool if the model asks for one, and put everything said into `messages`."""
    answer = await ask(client, session, messages, random)
    messages.append(answer_message(answer.draft))
    call = answer.draft.tool_call
    if call is not None:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": track_parcel(call.arguments)})
        answer = await ask(client, session, messages, random)
        messages.append(answer_message(answer.draft))
    return answer


async def ask(client: openai.AsyncOpenAI, session: Session, messages: list[Message], random: Random) -> Answer:
    """One chat call, streamed or not."""
    streamed = random.random() < session.app.streams
    request: dict[str, Any] = {"model": session.app.model, "messages": messages, "stream": streamed}
    if session.tools:
        request["tools"] = session.tools
    reply = await client.chat.completions.with_raw_response.create(**request, extra_headers=_headers(session))
    _, trace_id, span_id, _ = reply.headers.get("traceparent", "---").split("-")
    if not streamed:
        return Answer(_draft_of(reply.parse()), trace_id, span_id)
    chunks: openai.AsyncStream[ChatCompletionChunk] = reply.parse()
    stops_after = random.randint(3, 12) if random.random() < LEAVES_EARLY else None
    return Answer(await _read_stream(chunks, stops_after), trace_id, span_id)


async def answer_from_docs(client: openai.AsyncOpenAI, session: Session, question: str) -> str:
    """An agent in miniature, traced: it searches, ranks what it found, and lets a model answer from that."""
    with (
        spanwell.session(user_id=session.user, session_id=session.id),
        spanwell.span(AGENT, operation="invoke_agent", input={"question": question}) as run,
    ):
        passages = rank_passages(await search_docs(question))
        completion = await client.chat.completions.create(
            model=session.app.model,
            messages=[
                {"role": "system", "content": session.system},
                {"role": "user", "content": with_context(question, passages)},
            ],
            extra_headers={HEADER_APP: AGENT, **spanwell.headers()},
        )
        answer = completion.choices[0].message.content or ""
        run.set(output=answer)
        return answer


@spanwell.trace(operation="retrieval")
async def search_docs(question: str) -> list[Passage]:
    await asyncio.sleep(INDEX_S)
    return retrieve(question)


@spanwell.trace(operation="execute_tool")
def rank_passages(passages: list[Passage]) -> list[Passage]:
    return rerank(passages)


async def _read_stream(chunks: openai.AsyncStream[ChatCompletionChunk], stops_after: int | None) -> Draft:
    """The parts of a stream put together; the reader goes away after `stops_after` chunks, if that is set."""
    deltas: list[ChoiceDelta] = []
    async with chunks:
        async for chunk in chunks:
            deltas += [choice.delta for choice in chunk.choices]
            if stops_after is not None and len(deltas) >= stops_after:
                break
    parts = [(part.id, part.function) for delta in deltas for part in delta.tool_calls or ()]
    if not parts:
        return Draft(tokenize("".join(delta.content or "" for delta in deltas)), "stop")
    arguments = "".join(function.arguments or "" for _, function in parts if function)
    opening_id, opening = parts[0]
    return _tool_draft(ToolCall(opening_id or "", (opening and opening.name) or "", arguments))


def _draft_of(completion: Any) -> Draft:
    message = completion.choices[0].message
    if not message.tool_calls:
        return Draft(tokenize(message.content or ""), completion.choices[0].finish_reason)
    call = message.tool_calls[0]
    return _tool_draft(ToolCall(call.id, call.function.name, call.function.arguments))


def _tool_draft(call: ToolCall) -> Draft:
    return Draft(tokenize(call.arguments), "tool_calls", call)


def _headers(session: Session) -> Mapping[str, str]:
    return {HEADER_APP: session.app.name, HEADER_USER: session.user, HEADER_SESSION: session.id}
