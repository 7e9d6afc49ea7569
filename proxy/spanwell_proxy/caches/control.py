"""What a request says of the cache: in a header of ours, or in LiteLLM's words in its body."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from spanwell.conventions import HEADER_CACHE, HEADER_CACHE_TTL
from spanwell_proxy.failures import ApiError, bad_request

LONGEST_TTL_S: Final = 30 * 86_400.0
LONGEST_NAMESPACE: Final = 128
WORDS: Final = ("use-cache", "no-store", "no-cache", "only-if-cached")
# LiteLLM's clients send these under `cache` in the body.
LITELLM_KEYS: Final = ("use-cache", "no-store", "no-cache", "ttl", "s-maxage", "namespace")
_CACHE, _TTL = HEADER_CACHE.encode(), HEADER_CACHE_TTL.encode()


@dataclass(frozen=True, slots=True)
class Control:
    """`reads`: may be answered from the cache. `keeps`: its answer may be kept. `insists`: from nowhere else.

    `max_age_s` bounds how old an answer may be; `ttl_s` how long this one is kept, instead of the usual time.
    """

    reads: bool = True
    keeps: bool = True
    insists: bool = False
    ttl_s: float | None = None
    max_age_s: float | None = None
    namespace: str = ""


USUAL: Final = Control()
UNASKED: Final = Control(reads=False, keeps=False)


def read_control(headers: Mapping[bytes, bytes], request: Mapping[str, Any], *, opt_in: bool = False) -> Control:
    """`opt_in`: only who says `use-cache` is meant. Raises ApiError 400 for a word or a number that means nothing."""
    if _CACHE not in headers and _TTL not in headers and "cache" not in request:
        return UNASKED if opt_in else USUAL
    words = [word.strip().lower() for word in headers.get(_CACHE, b"").decode("latin-1").split(",") if word.strip()]
    unknown = [word for word in words if word not in WORDS]
    if unknown:
        raise bad_request(f"{HEADER_CACHE}: write {', '.join(WORDS)}, not {unknown[0]!r}", HEADER_CACHE)
    said = _read_body(request.get("cache"))
    is_unasked = opt_in and "use-cache" not in words and said.get("use-cache") is not True
    no_store = is_unasked or "no-store" in words or said.get("no-store") is True
    return Control(
        reads=not no_store and "no-cache" not in words and said.get("no-cache") is not True,
        keeps=not no_store,
        insists="only-if-cached" in words,
        ttl_s=_seconds(headers.get(_TTL, said.get("ttl")), HEADER_CACHE_TTL),
        max_age_s=_seconds(said.get("s-maxage"), "cache.s-maxage"),
        namespace=str(said.get("namespace") or "")[:LONGEST_NAMESPACE],
    )


def not_cached() -> ApiError:
    """What `only-if-cached` gets where nothing is kept; the status is HTTP's own for it."""
    return ApiError(504, "not_cached", "only-if-cached was asked for, and no answer is kept")


def _read_body(said: Any) -> dict[str, Any]:
    if said is None:
        return {}
    if not isinstance(said, dict) or not said.keys() <= set(LITELLM_KEYS):
        raise bad_request(f"cache must be an object with keys of {', '.join(LITELLM_KEYS)}", "cache")
    return said


def _seconds(value: Any, param: str) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_TTL_S:
        raise bad_request(f"{param} must be seconds, from 0 to {LONGEST_TTL_S:.0f}", param)
    return seconds
