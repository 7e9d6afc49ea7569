"""Asks the gateway's administration API, with the master key of the configuration file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from spanwell.config import load_config
from spanwell.errors import ConfigError, SpanwellError
from spanwell.settings import Settings

TIMEOUT_S = 10.0


def ask_gateway(settings: Settings, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The JSON answer of the gateway's administration API. Raises SpanwellError with the gateway's own message."""
    request = Request(  # noqa: S310 - the address is the operator's own
        settings.proxy_url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {_master_key(settings)}", "Content-Type": "application/json"},
        method=method,
    )
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")
    except HTTPError as error:
        raise SpanwellError(f"the gateway answered {error.code}: {_message(error.read(4096))}") from None
    except (URLError, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise SpanwellError(f"no gateway at {settings.proxy_url} ({reason}); start it with: spanwell up") from None


def find_config(settings: Settings) -> Path | None:
    """The configuration in force: the one that was named, else the one the demo wrote."""
    demo = settings.data / "demo" / "spanwell.yaml"
    return settings.config or (demo if demo.exists() else None)


def _master_key(settings: Settings) -> str:
    path = find_config(settings)
    key = load_config(path).general_settings.get("master_key")
    if not key:
        if path is None:
            raise ConfigError("which configuration? name it with --config FILE, or set SPANWELL_CONFIG")
        raise ConfigError(f"{path}: set general_settings.master_key to administer the gateway")
    return str(key)


def _message(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")[:200]
    error = document.get("error", document) if isinstance(document, dict) else document
    return str(error.get("message", error) if isinstance(error, dict) else error)
