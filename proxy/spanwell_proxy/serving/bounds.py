"""How long a request may be that is no call: what is longer is refused before it is read, whoever sends it."""

from collections.abc import MutableMapping
from typing import Any, Final

from starlette.exceptions import HTTPException

from spanwell_proxy.apis.paths import strip_prefix
from spanwell_proxy.batches.settings import BatchSettings
from spanwell_proxy.call import Receive

LONGEST_BYTES: Final = 4 * 1024 * 1024
AROUND_BYTES: Final = 1024 * 1024  # of a form, around its file


def find_bound(path: str, batches: BatchSettings | None) -> int:
    """Bytes that a request to `path` may have. Only a file of requests is large."""
    if batches and strip_prefix(path) == "/files":
        return batches.max_file_bytes + AROUND_BYTES
    return LONGEST_BYTES


def bound_body(receive: Receive, most_bytes: int) -> Receive:
    """`receive`, which raises HTTPException 413 beyond so many bytes."""
    size = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most_bytes:
            raise HTTPException(413, f"the body is larger than {most_bytes} bytes")
        return message

    return bounded
