"""Who may come in: the token when one is set, and on loopback only requests that were meant for this machine."""

import base64
import binascii
import hmac
from typing import Final

from starlette.datastructures import Headers

from spanwell.loopback import is_for_this_machine

OPEN_PATHS: Final = frozenset({"/health", "/ping"})


def is_allowed(headers: Headers, query_password: str, token: str) -> bool:
    """Whether a request carries `token`: as bearer, as ClickHouse key or password, or in basic auth.

    Without a token we listen on loopback alone, and take what was meant for this machine.
    """
    if not token:
        return is_for_this_machine(headers.get("host", ""), headers.get("origin"))
    offered = [headers.get("x-clickhouse-key", ""), query_password, *_from_authorization(headers)]
    return any(hmac.compare_digest(word.encode(), token.encode()) for word in offered if word)


def _from_authorization(headers: Headers) -> list[str]:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return [value.strip()]
    if scheme.lower() == "basic":
        try:
            return [base64.b64decode(value).decode().partition(":")[2]]
        except (binascii.Error, UnicodeDecodeError):
            return []
    return []
