"""Lets pages that this machine serves send to it: their browser asks first whether they may.

Pages from elsewhere are not let in: what they have to send goes through their own server.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response

from spanwell.loopback import is_for_this_machine

PREFLIGHT: Final = {"access-control-allow-methods": "POST", "access-control-max-age": "600"}


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a browser asks if a page may send."""
    return method == "OPTIONS" and "access-control-request-method" in headers


def allow_page(headers: Headers) -> dict[str, str]:
    """What an answer says to the browser of a page that may send; nothing for all others."""
    origin = headers.get("origin")
    if origin is None or not is_for_this_machine(headers.get("host", ""), origin):
        return {}
    return {"access-control-allow-origin": origin, "vary": "origin"}


def answer_preflight(headers: Headers) -> Response:
    """A browser sends no token with its question, so there is none to ask for."""
    allowed = allow_page(headers)
    if not allowed:
        return Response(status_code=403)
    asked = headers.get("access-control-request-headers", "content-type")
    return Response(status_code=204, headers=allowed | PREFLIGHT | {"access-control-allow-headers": asked})
