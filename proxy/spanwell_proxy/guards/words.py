"""Guards made of patterns: what must not be said, and what a request has to be about. RE2 keeps them linear."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import re2

from spanwell.errors import ConfigError
from spanwell.pii import Found, keep_apart
from spanwell_proxy.guards.finding import Finder, write_kind
from spanwell_proxy.guards.judging import NOTHING, Finding, Judge, Subject

LONGEST: Final = 256  # characters of a find that is waited for in a stream
OFF_TOPIC: Final = "off_topic"


def compile_patterns(patterns: Mapping[str, str], where: str) -> dict[str, Any]:
    """By name. Raises ConfigError for what RE2 does not take: it has no look-around and no back-references."""
    options = re2.Options()
    options.case_sensitive, options.log_errors = False, False
    compiled = {}
    for name, pattern in patterns.items():
        try:
            compiled[name] = re2.compile(pattern, options)
        except re2.error as error:
            raise ConfigError(f"{where}: {pattern!r} is no pattern of RE2: {error}") from None
    return compiled


def find_words(patterns: Mapping[str, Any]) -> Finder:
    """Places that match; their kind is the pattern's name."""

    def find(text: str) -> list[Found]:
        data = text.encode("utf-8", "surrogatepass")
        found = [one for name, pattern in patterns.items() for one in _search(pattern, data, name)]
        return keep_apart(found) if len(found) > 1 else found

    return Finder(find, lambda text: max(0, len(text) - LONGEST), write_kind)


def judge_topic(patterns: Sequence[Any]) -> Judge:
    """The newest thing a user said must match one of the patterns; what has no text is let through."""

    async def judge(subject: Subject) -> Finding:
        said = [one.text for one in subject.texts() if one.place.role == "user"]
        if not said or any(pattern.search(said[-1].encode("utf-8", "surrogatepass")) for pattern in patterns):
            return NOTHING
        return Finding({OFF_TOPIC: 1})

    return judge


def _search(pattern: Any, data: bytes, name: str) -> Iterator[Found]:
    """RE2 counts bytes, and texts are counted in characters."""
    at, chars = 0, 0
    for match in pattern.finditer(data):
        start, end = match.span()
        if start == end:
            continue
        begin = chars + len(data[at:start].decode("utf-8", "surrogatepass"))
        chars = begin + len(data[start:end].decode("utf-8", "surrogatepass"))
        at = end
        yield Found(begin, chars, name)
