"""How a request is refused: google.rpc.Status in the encoding of the request, and when to come again."""

from collections.abc import Mapping
from typing import Final, Literal

import orjson
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from starlette.responses import Response

Encoding = Literal["application/x-protobuf", "application/json"]
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
RETRY_AFTER_SECONDS: Final = 2

INVALID_ARGUMENT, DEADLINE_EXCEEDED, PERMISSION_DENIED, RESOURCE_EXHAUSTED = 3, 4, 7, 8
UNAVAILABLE, UNAUTHENTICATED = 14, 16
HTTP_STATUS: Final[Mapping[int, int]] = {
    INVALID_ARGUMENT: 400,
    DEADLINE_EXCEEDED: 408,
    PERMISSION_DENIED: 403,
    RESOURCE_EXHAUSTED: 413,
    UNAVAILABLE: 503,
    UNAUTHENTICATED: 401,
}
"""The answers to google.rpc.Code; a sender tries again after 429 and 503 alone, and gives up on a 500."""


class RefusedError(Exception):
    """A request that is not accepted, and why. `http_status` 0 is the code's usual one."""

    def __init__(self, code: int, message: str, *, http_status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status or HTTP_STATUS[code]

    @property
    def is_passing(self) -> bool:
        """Whether the same request may be accepted later."""
        return self.code == UNAVAILABLE

    def to_status(self) -> Status:
        """With RetryInfo when it is worth trying again: over gRPC that is what tells the two apart."""
        status = Status(code=self.code, message=str(self))
        if self.is_passing:
            detail = Any()
            detail.Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_SECONDS)))
            status.details.append(detail)
        return status


def respond(refusal: RefusedError, encoding: Encoding) -> Response:
    """The refusal over HTTP."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if refusal.is_passing else {}
    if refusal.http_status == 405:
        headers["Allow"] = "POST"
    if encoding == JSON:
        body = orjson.dumps({"code": refusal.code, "message": str(refusal)})
    else:
        body = Status(code=refusal.code, message=str(refusal)).SerializeToString()
    return Response(body, status_code=refusal.http_status, headers=headers, media_type=encoding)
