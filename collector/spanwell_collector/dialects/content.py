"""What a span was given and what it gave back, wherever its emitter put it: the first place that is filled wins, and
all the others are emptied, so that nothing is stored twice.
"""

from typing import Any, Final, NamedTuple

from spanwell import conventions as c
from spanwell_collector.dialects.flattened import take_trees, unwrap
from spanwell_collector.dialects.jsontext import undo_json
from spanwell_collector.dialects.messages import EventMessages, is_content_event, read_event_messages, with_system
from spanwell_collector.dialects.values import Attributes, read_attributes, take_out

SYSTEM: Final = "gen_ai.system_instructions"
ROOTS: Final = (
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.tools.",
    "llm.request.functions.",
    "llm.prompts.",
    "llm.choices.",
    "retrieval.documents.",
    "reranker.input_documents.",
    "reranker.output_documents.",
    "embedding.embeddings.",
    "gen_ai.prompt.",
    "gen_ai.completion.",
)
"""Where lists were flattened."""

GIVEN: Final = (
    "langfuse.observation.input",
    "ai.prompt.messages",
    "ai.prompt",
    "ai.values",
    "ai.value",
    "mlflow.spanInputs",
    "input.value",
    "traceloop.entity.input",
    "gen_ai.tool.call.arguments",
    "ai.toolCall.args",
    "gen_ai.retrieval.query.text",
    "gen_ai.prompt",
    "request_data",
    "llm.prompts",
    c.INPUT,
)
RETURNED: Final = (
    "langfuse.observation.output",
    "ai.response.object",
    "mlflow.spanOutputs",
    "output.value",
    "traceloop.entity.output",
    "gen_ai.tool.call.result",
    "ai.toolCall.result",
    "gen_ai.retrieval.documents",
    "gen_ai.completion",
    "response_data",
    c.OUTPUT,
)
BESIDE: Final = ("input.mime_type", "output.mime_type", "ai.embeddings", "ai.embedding")
"""Of no use without what they describe, or vectors, which nobody reads in a trace."""


class Content(NamedTuple):
    """What went in and what came out, as plain values of any shape; the bodies are the request's and the response's
    where the emitter sent these as well."""

    given: Any
    returned: Any
    request: Any
    response: Any


def take_content(attributes: Attributes, events: Any) -> Content:
    """Take all content out of `attributes`, and the events that are content out of `events`."""
    trees = take_trees(attributes, ROOTS)
    told = _take_events(events)
    request, response = _take_first(attributes, GIVEN), _take_first(attributes, RETURNED)
    given = with_system(attributes.pop(SYSTEM, None), attributes.pop(c.INPUT_MESSAGES, None))
    returned = undo_json(attributes.pop(c.OUTPUT_MESSAGES, None))
    for name in BESIDE:
        attributes.pop(name, None)
    _keep_tools(attributes, trees)
    given = _first(
        given,
        _read_openinference(trees.get("llm.input_messages.")),
        trees.get("gen_ai.prompt."),
        told.asked,
        _texts(trees.get("embedding.embeddings."), "embedding"),
        _texts(trees.get("llm.prompts."), "prompt"),
        request,
        _documents(trees.get("reranker.input_documents.")),
    )
    returned = _first(
        returned,
        _read_openinference(trees.get("llm.output_messages.")),
        trees.get("gen_ai.completion."),
        told.answered,
        _take_vercel_answer(attributes),
        _texts(trees.get("llm.choices."), "completion"),
        response,
        _documents(trees.get("retrieval.documents.")),
        _documents(trees.get("reranker.output_documents.")),
    )
    return Content(given, returned, request, response)


def _first(*values: Any) -> Any:
    return next((value for value in values if value not in (None, "", [], {})), None)


def _take_first(attributes: Attributes, names: tuple[str, ...]) -> Any:
    found = [attributes.pop(name) for name in names if name in attributes]
    return undo_json(_first(*found))


def _take_events(events: Any) -> EventMessages:
    """The messages of the events that are content, in their order."""
    told = EventMessages([], [])
    for event in events:
        if is_content_event(event.name):
            asked, answered = read_event_messages(event.name, None, read_attributes(event.attributes))
            told.asked.extend(asked)
            told.answered.extend(answered)
    take_out(events, is_content_event)
    return told


def _read_openinference(tree: Any) -> list[dict[str, Any]] | None:
    messages = [_read_openinference_message(message) for message in unwrap(tree, "message")]
    return messages or None


def _read_openinference_message(message: dict[str, Any]) -> dict[str, Any]:
    """As OpenAI writes a message."""
    read = {
        key: value
        for key, value in message.items()
        if key in ("role", "content", "tool_call_id", "name", "finish_reason")
    }
    if blocks := unwrap(message.get("contents"), "message_content"):
        # A call of a tool stands beside the blocks; the block of it is an empty one.
        read["content"] = [_read_openinference_block(block) for block in blocks if block.get("type") != "tool_use"]
    calls = unwrap(message.get("tool_calls"), "tool_call") or unwrap(message.get("contents"), "tool_call")
    if name := message.get("function_call_name"):
        calls = [*calls, {"function": {"name": name, "arguments": message.get("function_call_arguments_json")}}]
    return {**read, "tool_calls": calls} if calls else read


def _read_openinference_block(block: dict[str, Any]) -> dict[str, Any]:
    image = block.get("image")
    if isinstance(image, dict):
        inner = image.get("image")
        return {"type": "image_url", "image_url": inner if isinstance(inner, dict) else image}
    return block


def _documents(tree: Any) -> list[dict[str, Any]] | None:
    return unwrap(tree, "document") or None


def _texts(tree: Any, wrapper: str) -> list[str] | None:
    texts = [item.get("text") for item in unwrap(tree, wrapper)]
    return [text for text in texts if isinstance(text, str)] or None


def _keep_tools(attributes: Attributes, trees: dict[str, Any]) -> None:
    described = [undo_json(tool.get("json_schema")) for tool in unwrap(trees.get("llm.tools."), "tool")]
    functions = trees.get("llm.request.functions.")
    if tools := described or functions:
        attributes.setdefault(c.TOOL_DEFINITIONS, tools)


def _take_vercel_answer(attributes: Attributes) -> list[dict[str, Any]] | None:
    """Text, reasoning and calls stand in attributes of their own."""
    text, reasoning = attributes.pop("ai.response.text", None), attributes.pop("ai.response.reasoning", None)
    calls = undo_json(attributes.pop("ai.response.toolCalls", None))
    parts = [{"type": "reasoning", "content": reasoning}] if reasoning else []
    parts += [{"type": "text", "content": text}] if text else []
    parts += (
        [{**call, "type": "tool-call"} for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    )
    return [{"role": "assistant", "content": parts}] if parts else None
