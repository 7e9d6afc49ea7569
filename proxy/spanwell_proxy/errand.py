"""What the hot lane hands to the LiteLLM lane: one request, and how its deployment is reached."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from spanwell_proxy.apis.forms import Part
from spanwell_proxy.config.routes import Deployment

NO_KEY = "none"


class File(NamedTuple):
    """One file of a multipart form."""

    field: str
    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Errand:
    """`request` is the client's, `params` are LiteLLM's and come from the configuration alone."""

    path: str  # of the API, such as /chat/completions
    request: Mapping[str, Any]
    params: Mapping[str, Any] = field(repr=False)
    timeout_s: float
    files: tuple[File, ...] = ()


def write_errand(deployment: Deployment, request: Mapping[str, Any], parts: Sequence[Part] = ()) -> bytes:
    """The body of a request to the lane. What `request` calls its model is left out: the deployment says that."""
    errand: dict[str, Any] = {
        "request": {key: value for key, value in request.items() if key != "model"},
        "params": _reach(deployment),
        "timeout_s": deployment.timeout_s,
    }
    if files := [part for part in parts if part.filename is not None]:
        errand["files"] = [
            (part.name, part.filename, part.content_type, b64encode(part.content).decode()) for part in files
        ]
    return orjson.dumps(errand)


def read_errand(path: str, body: bytes) -> Errand:
    """Only the hot lane writes these: what is no errand raises ValueError, KeyError or TypeError."""
    given = orjson.loads(body)
    files = tuple(File(name, file, kind, b64decode(data)) for name, file, kind, data in given.get("files", ()))
    return Errand(path, given["request"], given["params"], given["timeout_s"], files)


def _reach(deployment: Deployment) -> dict[str, Any]:
    # For want of a key LiteLLM takes the provider's own from the environment, and sends it to any address.
    keyless = deployment.speaks and not deployment.api_key
    key = {"api_key": deployment.api_key or NO_KEY} if deployment.api_key or keyless else {}
    return {**deployment.params, **key}
