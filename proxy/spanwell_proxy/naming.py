"""What a request says of itself besides what it asks: by headers, else by names in its body's `metadata`."""

from typing import Any, Final

from spanwell import conventions as c
from spanwell_proxy.call import Call

LONGEST_NAME: Final = 256
MOST_TAGS: Final = 32
OWN_METADATA: Final = (
    *("app", "user_id", "session_id"),
    *("tags", "tier", "release", "prompt_name", "prompt_version"),
)
"""Names in a body's `metadata` that are for the proxy, and go no further."""

_APP, _SESSION, _USER, _PURPOSE, _TAGS, _TIER, _RELEASE, _PROMPT, _VERSION = (
    name.encode()
    for name in (
        *(c.HEADER_APP, c.HEADER_SESSION, c.HEADER_USER, c.HEADER_PURPOSE, c.HEADER_TAGS, c.HEADER_TIER),
        *(c.HEADER_RELEASE, c.HEADER_PROMPT_NAME, c.HEADER_PROMPT_VERSION),
    )
)
OWN_HEADERS: Final = frozenset((_APP, _SESSION, _USER, _PURPOSE, _TAGS, _TIER, _RELEASE, _PROMPT, _VERSION))


def name_call(call: Call, request: dict[str, Any]) -> None:
    """Fill in whose call it is. What is too long is cut, what is no text is passed over: nothing here is refused."""
    metadata = request.get("metadata")
    said = metadata if isinstance(metadata, dict) else {}
    caller = call.caller
    if not said and OWN_HEADERS.isdisjoint(call.headers):  # as most are
        call.user = _first(call, _USER, request.get("user"), caller.user if caller else "")
        return
    call.app = _first(call, _APP, said.get("app"))
    call.session = _first(call, _SESSION, said.get("session_id"))
    call.user = _first(call, _USER, request.get("user"), said.get("user_id"), caller.user if caller else "")
    call.tags = _read_tags(call, said.get("tags"))
    call.tier = _first(call, _TIER, said.get("tier"))
    call.release = _first(call, _RELEASE, said.get("release"))
    call.prompt_name = _first(call, _PROMPT, said.get("prompt_name"))
    call.prompt_version = _first(call, _VERSION, said.get("prompt_version"))
    if caller and caller.operator:
        call.purpose = call.purpose or _first(call, _PURPOSE)


def _read_tags(call: Call, said: Any) -> tuple[str, ...]:
    given = call.headers.get(_TAGS)
    if given:
        said = given.decode("utf-8", "replace")
    elif not said:
        return ()
    if isinstance(said, str):
        said = said.split(",")
    if not isinstance(said, list):
        return ()
    named = (tag.strip()[:LONGEST_NAME] for tag in said if isinstance(tag, str))
    return tuple(dict.fromkeys(tag for tag in named if tag))[:MOST_TAGS]


def _first(call: Call, header: bytes, *others: Any) -> str:
    given = call.headers.get(header)
    if given:
        return given.decode("utf-8", "replace")[:LONGEST_NAME]
    for value in others:
        if value and isinstance(value, str):
            return value[:LONGEST_NAME]
    return ""
