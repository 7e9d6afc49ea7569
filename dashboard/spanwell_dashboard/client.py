"""The one way to the collector's query API: HTTP in, pandas out. It neither caches nor draws."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import httpx
import pandas as pd
import pyarrow as pa
from pyarrow import ipc

from spanwell.errors import SpanwellError
from spanwell.settings import Settings

ARROW: Final = "application/vnd.apache.arrow.stream"
TIMES: Final = ("ts", "window_start", "reference_start", "reference_end")

Query = tuple[tuple[str, str], ...]
"""Query parameters in order, repeated names allowed; hashable, so that it can be a cache key."""


class ApiError(SpanwellError):
    """The query API gave no usable answer."""


class ApiDownError(ApiError):
    """Nobody listens, or the answer did not come in time."""


class ApiRefusedError(ApiError):
    """The API answered with an error: `status` is HTTP's, `field` names the parameter at fault, if one is."""

    def __init__(self, status: int, message: str, field: str = "", allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.field = field
        self.allowed = tuple(allowed)


class Scope(NamedTuple):
    """What a page looks at: one project, a half-open window in UTC, and (dimension, value) filters."""

    project: str
    start: datetime
    end: datetime
    filters: Query = ()

    def window(self, *more: tuple[str, str]) -> Query:
        """Query parameters without the filters."""
        times = (("start", self.start.isoformat()), ("end", self.end.isoformat()))
        return (("project", self.project), *times, *more)

    def query(self, *more: tuple[str, str]) -> Query:
        return self.window(*self.filters, *more)


class Client:
    """Reads of one collector. Safe to share between threads."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    @classmethod
    def connect(cls, settings: Settings, timeout_s: float = 20.0) -> "Client":
        headers = {"authorization": f"Bearer {settings.api_token}"} if settings.api_token else {}
        # trust_env off: a proxy variable must not send prompts, or the token, anywhere else.
        return cls(httpx.Client(base_url=settings.collector_url, headers=headers, timeout=timeout_s, trust_env=False))

    def frame(self, path: str, query: Query = ()) -> pd.DataFrame:
        """The rows of `/api/v1/{path}`, times as aware UTC timestamps, money as floats.

        What stands beside the rows (`next`, `bucket_seconds`) is in the frame's `attrs`.
        """
        response = self._get(f"/api/v1/{path}", query, accept=ARROW)
        if response.headers.get("content-type", "").startswith(ARROW):
            return _from_arrow(response.content)
        body = _json(response)
        frame = _with_times(pd.DataFrame(body.pop("rows", [])))
        frame.attrs.update(body)
        return frame

    def document(self, path: str, query: Query = ()) -> dict[str, Any]:
        """The whole JSON body of `/api/v1/{path}`."""
        return _json(self._get(f"/api/v1/{path}", query, accept="application/json"))

    def health(self) -> dict[str, Any]:
        return _json(self._get("/health", (), accept="application/json"))

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str, query: Query, accept: str) -> httpx.Response:
        try:
            response = self._http.get(path, params=httpx.QueryParams(query), headers={"accept": accept})
        except httpx.TimeoutException as error:
            raise ApiDownError(f"no answer in time from {self._http.base_url}") from error
        except httpx.HTTPError as error:
            raise ApiDownError(f"cannot reach {self._http.base_url}") from error
        if response.is_success:
            return response
        raise _refusal(response)


def _refusal(response: httpx.Response) -> ApiRefusedError:
    try:
        error = response.json()["error"]
        return ApiRefusedError(
            response.status_code, str(error["message"]), str(error.get("field") or ""), error.get("allowed") or ()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiRefusedError(response.status_code, f"HTTP {response.status_code}")


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError as error:
        raise ApiRefusedError(response.status_code, "the answer is not JSON: is this the collector's port?") from error
    return body if isinstance(body, dict) else {}


def _from_arrow(body: bytes) -> pd.DataFrame:
    try:
        table = ipc.open_stream(body).read_all()
    except pa.ArrowInvalid as error:
        raise ApiRefusedError(200, "the answer is not an Arrow stream: is this the collector's port?") from error
    for index, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(pa.float64()))
    frame = _with_times(table.replace_schema_metadata().to_pandas())
    frame.attrs = {name.decode(): _beside(value) for name, value in (table.schema.metadata or {}).items()}
    return frame


def _beside(value: bytes) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return None


def _with_times(frame: pd.DataFrame) -> pd.DataFrame:
    for name in TIMES:
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return frame
