"""Asks a backend how it is: whether it answers, what it serves, how busy it is. Each is one GET with bounds."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import aiohttp
import orjson

from spanwell.backends import Backend
from spanwell_proxy.backends.load import Load, read_load

MOST_BYTES: Final = 8 << 20
MOST_MODELS: Final = 1000
LONGEST_NAME: Final = 256


class Served(NamedTuple):
    """A model that a backend serves. `max_tokens` is of a prompt and its answer; 0 where it does not say."""

    name: str
    max_tokens: int = 0


class ProbeError(Exception):
    """It did not answer, or not as it should. The text holds no key."""


def open_session() -> aiohttp.ClientSession:
    """No redirect is followed, no cookie kept, no proxy variable read, nothing unpacked: few bytes may hold many."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10, keepalive_timeout=15),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )


async def check_health(session: aiohttp.ClientSession, backend: Backend) -> None:
    """Raises ProbeError."""
    await _get(session, backend, backend.health.path)


async def list_models(session: aiohttp.ClientSession, backend: Backend) -> tuple[Served, ...]:
    """What `/v1/models` names, in its order. Raises ProbeError."""
    try:
        document = orjson.loads(await _get(session, backend, "/v1/models"))
    except ValueError as error:
        raise ProbeError("/v1/models is not JSON") from error
    listed = document.get("data") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ProbeError("/v1/models has no list `data`")
    served = [_read_served(item) for item in listed[:MOST_MODELS]]
    return tuple(one for one in served if one)


async def ask_load(session: aiohttp.ClientSession, backend: Backend) -> Load | None:
    """None where `/metrics` is not vLLM's. Raises ProbeError."""
    return read_load(await _get(session, backend, "/metrics"))


def _read_served(item: Any) -> Served | None:
    """A backend's own word is hostile too: a name must be able to stand in a list, and in no way be a pattern."""
    name = item.get("id") if isinstance(item, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "*" in name:
        return None
    most = item.get("max_model_len")
    return Served(name, most if isinstance(most, int) and 0 < most < 1 << 40 else 0)


async def _get(session: aiohttp.ClientSession, backend: Backend, path: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=backend.health.timeout_seconds)
    try:
        async with session.get(
            backend.origin + path, headers=_headers(backend), timeout=timeout, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise ProbeError(f"{path} answered {response.status}")
            body = await response.content.read(MOST_BYTES + 1)
            while part := await response.content.read(MOST_BYTES + 1):
                body += part
                if len(body) > MOST_BYTES:
                    raise ProbeError(f"{path} answered more than {MOST_BYTES} bytes")
            return body
    except TimeoutError:
        raise ProbeError(f"{path} did not answer within {backend.health.timeout_seconds:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:  # the last: a host that no resolver takes
        reason = error.os_error.strerror if isinstance(error, aiohttp.ClientConnectorError) else str(error)
        raise ProbeError(f"{path}: {reason or type(error).__name__}") from None


def _headers(backend: Backend) -> Mapping[str, str]:
    key = {"authorization": f"Bearer {backend.api_key}"} if backend.api_key else {}
    return {"user-agent": "spanwell", "accept-encoding": "identity", **key}
