"""Guards on the size of a request: empty and over-long prompts, and conversations that no longer fit a model."""

from typing import Any, Final

from spanwell_proxy.guards.fitting import fit
from spanwell_proxy.guards.judging import NOTHING, Finding, Judge, Subject
from spanwell_proxy.guards.tokens import count_tokens

OWN_WORDS: Final = ("system", "developer")  # roles of the application's own texts
CONVERSATIONS: Final = ("messages", "input")


def judge_size(least_chars: int, most_chars: int | None, most_tokens: int | None) -> Judge:
    """`empty`: what is not the system's has fewer characters, blanks aside, and no picture or sound either."""

    async def judge(subject: Subject) -> Finding:
        texts = subject.texts()
        said = sum(len(one.text.strip()) for one in texts if one.place.role not in OWN_WORDS)
        if said < least_chars and not _has_more_than_text(subject.request):
            return Finding({"empty": 1})
        chars = sum(len(one.text) for one in texts)
        if most_chars is not None and chars > most_chars:
            return Finding({"too_many_chars": chars})
        if most_tokens is not None and (tokens := _count_all(subject.request)) > most_tokens:
            return Finding({"too_many_tokens": tokens})
        return NOTHING

    return judge


def judge_context(most_tokens: int) -> Judge:
    """Turns in the middle go until the rest fits. What cannot fit is found without a change, and so it is blocked."""

    async def judge(subject: Subject) -> Finding:
        request = subject.request
        key = next((key for key in CONVERSATIONS if isinstance(request.get(key), list)), None)
        total = _count_all(request)
        if total <= most_tokens:
            return NOTHING
        found = {"tokens": total}
        if key is None:
            return Finding(found)
        room = most_tokens - (total - sum(map(count_tokens, request[key])))
        kept = fit(request[key], room, count_tokens)
        if kept is None:
            return Finding(found)
        cut = total - (most_tokens - room) - sum(map(count_tokens, kept))
        return Finding(found, {**request, key: kept}, cut_tokens=cut)

    return judge


def _count_all(request: Any) -> int:
    beside = [request.get(key) for key in ("system", "instructions", "prompt", "query", "documents", "tools")]
    turns = [item for key in CONVERSATIONS for item in _as_list(request.get(key))]
    return sum(count_tokens(part) for part in (*beside, *turns) if part)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _has_more_than_text(request: Any) -> bool:
    """A picture, a sound, a tool's result, or token ids: something was asked."""
    parts = [part for key in (*CONVERSATIONS, "prompt") for part in _as_list(request.get(key))]
    return any(not isinstance(part, str | dict) or _has_parts(part) for part in parts)


def _has_parts(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    content = part.get("content")
    if isinstance(content, list):
        return any(isinstance(item, dict) and not str(item.get("type", "")).endswith("text") for item in content)
    return part.get("type", "message") != "message" or bool(part.get("tool_calls"))
