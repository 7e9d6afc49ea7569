"""Paths that the proxy does not know: they go to a backend of OpenAI's dialect as they are, and come back as they are.

Where an answer tells its usage in OpenAI's words it is counted; what was said is not looked into, and not stored.
"""

import re
from functools import lru_cache
from typing import Any, Final

import orjson

from spanwell.pricing import Usage
from spanwell_proxy.apis.api import Api, Document, Messages, Request
from spanwell_proxy.apis.raw_stream import RawReader
from spanwell_proxy.apis.usage import read_usage

# A segment is never empty, a dot or two: what a backend makes of those is not for a client to try.
PATH: Final = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9_.:@-]{1,256}){1,12}")
# Whoever may call a model may not administer it, or whose account it is.
OPERATORS_ALONE: Final = frozenset(
    (
        *("organization", "organizations", "admin", "api_keys", "projects", "usage", "dashboard"),
        *("engines", "deployments"),  # that name a model in the path, where nobody asks who may use it
        *("load_lora_adapter", "unload_lora_adapter", "sleep", "wake_up", "collective_rpc", "server_info"),
        *("reset_prefix_cache", "reset_mm_cache", "reset_encoder_cache", "pause", "resume", "scale_elastic_ep"),
    )
)


def is_passable(path: str) -> bool:
    """Whether a path, without its prefix, may be a backend's."""
    return PATH.fullmatch(path) is not None


def is_for_operators(path: str) -> bool:
    return not OPERATORS_ALONE.isdisjoint(path.lower().split("/"))


@lru_cache(256)
def make_passthrough(path: str) -> Api:
    """The API that a path is, as far as it is known."""
    return Api(
        name="passthrough",
        operation="",
        path=path,
        dialect="openai",
        check=check,
        prepare=prepare,
        read=read,
        usage=usage,
        asked=nothing,
        answered=nothing,
        reasons=no_reasons,
        max_tokens=max_tokens,
        open_reader=open_reader,
        is_opaque=True,
        is_passthrough=True,
    )


def check(_: Request) -> None:
    pass


def prepare(_: dict[str, Any]) -> None:
    pass


def read(body: bytes) -> Document:
    try:
        answer = orjson.loads(body)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"size_bytes": len(body)}


def usage(answer: Document) -> Usage | None:
    reported = answer.get("usage")
    return read_usage(reported) if isinstance(reported, dict) else Usage()


def nothing(_: Request) -> Messages:
    return ()


def no_reasons(_: Document) -> list[str]:
    return []


def max_tokens(request: Request) -> int | None:
    given = request.get("max_tokens")
    return given if isinstance(given, int) and 0 <= given < 2**63 else None


def open_reader(_: Request) -> RawReader:
    return RawReader()
