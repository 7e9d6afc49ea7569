"""One HTTP POST to the collector, and what its answer means under OTLP's rules."""

import ssl
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from spanwell.loopback import is_loopback
from spanwell.outbox import Answer

WORTH_ANOTHER_TRY = frozenset((408, 429, 502, 503, 504))
LONGEST_WAIT_S = 60.0


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, and its 200 would look like a delivery."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def make_opener(url: str, tls: ssl.SSLContext | None = None) -> OpenerDirector:
    """An opener for `url` that follows no redirect and asks no proxy for an address on this machine."""
    proxies = [ProxyHandler({})] if is_loopback(urlsplit(url).hostname or "") else []
    return build_opener(_NoRedirect, HTTPSHandler(context=tls), *proxies)


def post(opener: OpenerDirector, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Send `body`; never raises for what a network or a server can do."""
    request = Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310 - the operator's own address
    try:
        with opener.open(request, timeout=timeout_s):
            return Answer("stored")
    except HTTPError as error:
        with error:
            return judge(error.code, error.headers.get("Retry-After"))
    except URLError as error:
        return Answer("away", f"nobody answers at {_origin(url)}: {error.reason}")
    except TimeoutError:
        return Answer("later", f"no answer from {_origin(url)} within {timeout_s:g} s")
    except (OSError, HTTPException) as error:
        return Answer("later", f"the connection to {_origin(url)} broke: {type(error).__name__}")


def judge(status: int, retry_after: str | None) -> Answer:
    """The meaning of a status that is not success."""
    reason = f"the collector answered {status}"
    if status not in WORTH_ANOTHER_TRY:
        return Answer("refused", reason)
    wait_s = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else 0.0
    return Answer("later", reason, min(wait_s, LONGEST_WAIT_S))


def _origin(url: str) -> str:
    """Scheme, host and port: an address may carry a password, and this goes into a log."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
