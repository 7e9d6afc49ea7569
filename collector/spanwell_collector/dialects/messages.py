"""What was asked and answered, out of every API's request and response bodies, as messages in the one shape."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from spanwell.messages import Message, to_message
from spanwell_collector.dialects.jsontext import undo_json

DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"
CHOICE_EVENT: Final = "gen_ai.choice"
ROLE_EVENTS: Final = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
CONTENT_EVENTS: Final = {"gen_ai.content.prompt": "gen_ai.prompt", "gen_ai.content.completion": "gen_ai.completion"}
FIELDS: Final = frozenset({"role", "type", "content"})  # of which a message, or a block of one, has at least one
ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}


class EventMessages(NamedTuple):
    """What one event adds to a call: the messages of its input, and those of its output."""

    asked: list[Message]
    answered: list[Message]


def read_event_messages(name: str, body: Any, attributes: Mapping[str, Any]) -> EventMessages:
    """The messages in an event of `gen_ai.*`, be it a log record or an event of a span.

    `body` and `attributes` are plain values (values.read_value); `name` is the event's, or what its attribute
    `event.name` says. An event that is about something else has none. One event holds one message or all of a call's:
    the caller puts those of a span together in the order they came.
    """
    if name == DETAILS_EVENT:
        asked = with_system(attributes.get("gen_ai.system_instructions"), attributes.get("gen_ai.input.messages"))
        return EventMessages(read_request(asked) or [], read_answer(attributes.get("gen_ai.output.messages")) or [])
    content = body if isinstance(body, Mapping) else attributes
    if name == CHOICE_EVENT:
        return EventMessages([], read_answer({"choices": [_lift_choice(content)]}) or [])
    if role := ROLE_EVENTS.get(name):
        return EventMessages(read_request([{"role": role, **_undo_fields(content)}]) or [], [])
    if key := CONTENT_EVENTS.get(name):
        value = attributes.get(key)
        if name.endswith("prompt"):
            return EventMessages(read_request(value) or [], [])
        return EventMessages([], read_answer(value) or [])
    return EventMessages([], [])


def is_content_event(name: str) -> bool:
    return name in ROLE_EVENTS or name in CONTENT_EVENTS or name in (CHOICE_EVENT, DETAILS_EVENT)


def with_system(instructions: Any, messages: Any) -> Any:
    """`messages` with the instructions that some emitters send beside them as the first one."""
    instructions, messages = undo_json(instructions), undo_json(messages)
    if not instructions:
        return messages
    first = (
        {"role": "system", "parts": instructions} if isinstance(instructions, list) else _say("system", instructions)
    )
    return [first, *(messages if isinstance(messages, list) else _listed(messages))]


def read_request(value: Any) -> list[Message] | None:
    """The messages of a request: a list of them, or a body of OpenAI's, Anthropic's, Gemini's or Vercel's shape.

    Text and lists of texts are what a user said. None where `value` is nothing of the kind.
    """
    value = undo_json(value)
    if isinstance(value, str):
        return [_say("user", value)]
    if isinstance(value, list):
        return _read_list(value, "user")
    if not isinstance(value, dict):
        return None
    for key in ("messages", "input", "contents", "prompt"):
        if value.get(key):
            messages = read_request(value[key])
            system = value.get("system") or value.get("instructions") or value.get("system_instruction")
            return [*_read_system(system), *messages] if messages is not None else None
    return [_read_message(value, "user")] if is_message(value) else None


def read_answer(value: Any) -> list[Message] | None:
    """The messages of a response; text is what the model said. None where `value` is nothing of the kind."""
    value = undo_json(value)
    if isinstance(value, str):
        return [_say("assistant", value)]
    if isinstance(value, list):
        return _read_list(value, "assistant")
    if not isinstance(value, dict):
        return None
    for key, read in ANSWERS.items():
        if isinstance(value.get(key), list):
            return read(value[key])
    if isinstance(value.get("message"), dict):
        return [_read_message(value["message"], "assistant", value.get("finish_reason"))]
    if isinstance(value.get("combined_chunk_content"), str):
        return [_say("assistant", value["combined_chunk_content"])]
    return [_read_message(value, "assistant", value.get("stop_reason"))] if is_message(value) else None


def is_message(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and "role" in value
        and ("content" in value or "parts" in value or "tool_calls" in value)
    )


def is_conversation(value: Any) -> bool:
    """Whether `value` holds messages by its shape, so that it is worth reading on spans that are no call."""
    if isinstance(value, list):
        return bool(value) and all(is_message(item) for item in value)
    return isinstance(value, Mapping) and (is_message(value) or is_conversation(value.get("messages")))


def _read_choices(choices: list[Any]) -> list[Message]:
    return [_read_choice(choice) for choice in choices if isinstance(choice, Mapping)]


def _read_choice(choice: Mapping[str, Any]) -> Message:
    message = choice.get("message")
    said = message if isinstance(message, Mapping) else {"content": choice.get("text", message)}
    return _read_message(said, "assistant", choice.get("finish_reason"))


def _read_candidates(candidates: list[Any]) -> list[Message]:
    found = [candidate for candidate in candidates if isinstance(candidate, Mapping)]
    contents = [(candidate.get("content"), candidate.get("finishReason")) for candidate in found]
    return [_read_message(said, "assistant", reason) for said, reason in contents if isinstance(said, Mapping)]


def _read_output(items: list[Any]) -> list[Message]:
    """OpenAI's Responses: messages, calls and reasoning beside each other are one message of the assistant."""
    parts: list[Any] = []
    for item in items:
        content = item.get("content") if isinstance(item, Mapping) else None
        parts.extend(content if isinstance(content, list) else [item])
    return [_read_message({"content": parts}, "assistant")]


def _read_list(items: list[Any], role: str) -> list[Message] | None:
    if all(isinstance(item, str) for item in items):
        return [{"role": role, "parts": [{"type": "text", "content": text} for text in items]}] if items else []
    if all(isinstance(item, Mapping) for item in items) and any(FIELDS & item.keys() for item in items):
        return [_read_message(item, role) for item in items]
    return None


def _read_message(message: Mapping[str, Any], role: str, finish_reason: Any = None) -> Message:
    said = {key: value for key, value in message.items() if value is not None}
    said["role"] = _read_role(said.get("role"), role)
    if "role" not in message and "type" in message and "content" not in message:
        said = {"role": said["role"], "content": [message]}  # a block on its own, as in Responses' input
    if finish_reason is not None:
        said["finish_reason"] = str(finish_reason)
    return to_message(said)


def _read_role(role: Any, otherwise: str) -> str:
    return ROLES.get(role, role) if isinstance(role, str) and role else otherwise


def _read_system(value: Any) -> list[Message]:
    if not value:
        return []
    return [_read_message({"content": value if isinstance(value, str | list) else [value]}, "system")]


def _say(role: str, text: Any) -> Message:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _listed(messages: Any) -> Iterable[Any]:
    return [] if messages is None else read_request(messages) or []


def _lift_choice(content: Mapping[str, Any]) -> dict[str, Any]:
    """A choice whose message may be JSON text, or whose fields may stand beside each other as attributes."""
    fields = _undo_fields(content)
    return fields if "message" in fields or "text" in fields else {"message": fields, **fields}


def _undo_fields(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: undo_json(value) for key, value in content.items()}


ANSWERS: Final = {
    "choices": _read_choices,
    "output": _read_output,
    "candidates": _read_candidates,
    "messages": read_request,
}
"""Where a response keeps what the model said, by the field that tells whose response it is."""
