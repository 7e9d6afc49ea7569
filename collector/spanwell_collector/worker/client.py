"""The worker's way to the collector: its HTTP query API, rows checked and typed at this border, and OTLP metrics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from pydantic import TypeAdapter, ValidationError

from spanwell.errors import QueryError, StoreError
from spanwell_collector.worker.schedule import TryLaterError, retry_after_seconds, utc_now

PAGE = 1_000
MOST_CHECKS = 10_000
GROUPS = 100
TIMEOUT_SECONDS = 30.0
API = "/api/v1"
PROTOBUF = {"content-type": "application/x-protobuf"}

Filters = Mapping[Any, Sequence[str]]  # keys are the query API's parameter names
Row = TypeVar("Row")


@dataclass(frozen=True)
class Sample:
    """One LLM call with its texts, as message lists in JSON."""

    trace_id: str
    span_id: str
    ts: datetime
    user_id: str
    session_id: str
    input: str
    output: str


@dataclass(frozen=True)
class DriftCheck:
    """One stored check, as far as the worker asks."""

    ts: datetime
    segment: str
    p_value: float
    sessions_current: int


class Measured(NamedTuple):
    """A metric of one group (None where there are no groups) in a window, and its requests."""

    group: str | None
    value: float | None
    requests: int


class Span(NamedTuple):
    """A stretch of time, start included, end not."""

    start: datetime
    end: datetime


class CollectorClient:
    """Typed questions to the query API. Raises StoreError, QueryError or TryLaterError."""

    def __init__(self, http: httpx.AsyncClient, project: str) -> None:
        self._http = http
        self._project = project

    async def measure(self, metric: str, span: Span, filters: Filters, by: str | None) -> list[Measured]:
        """A metric over a stretch of time, for each value of `by`; the busiest groups come first."""
        if by is None:
            rows = await self._rows("/overview", span, filters, TypeAdapter(list[dict[str, Any]]))
            return [_measured(row, metric, None) for row in rows if row.get("window") == "current"]
        metrics = list(dict.fromkeys(["requests", metric]))
        asked = {**filters, "by": [by], "metric": metrics, "limit": [str(GROUPS)]}
        rows = await self._rows("/breakdown", span, asked, TypeAdapter(list[dict[str, Any]]))
        return [_measured(row, metric, by) for row in rows]

    async def samples(self, span: Span, filters: Filters, share: float, limit: int) -> list[Sample]:
        """Up to `limit` LLM calls with texts, newest first; `share` of the traces, chosen by their id."""
        found: dict[tuple[str, str], Sample] = {}
        end = span.end
        while len(found) < limit:
            page_size = min(PAGE, limit)
            asked = {**filters, "share": [f"{share:.6f}"], "limit": [str(page_size)]}
            page = await self._rows("/samples", Span(span.start, end), asked, TypeAdapter(list[Sample]))
            known = len(found)
            found |= {(sample.trace_id, sample.span_id): sample for sample in page}
            if len(found) == known or len(page) < page_size:
                break
            end = page[-1].ts + timedelta(microseconds=1)  # calls of that microsecond may be on both pages
        return list(found.values())[:limit]

    async def drift_checks(self, span: Span) -> list[DriftCheck]:
        return await self._rows("/drift", span, {"limit": [str(MOST_CHECKS)]}, TypeAdapter(list[DriftCheck]))

    async def store(self, path: str, row: Mapping[str, Any]) -> None:
        """POST one row to `/scores`, `/drift` or `/alerts/events`."""
        await self._request("POST", API + path, json={**row, "project": self._project})

    async def send(self, request: ExportMetricsServiceRequest) -> None:
        """Measurements, of the project that they name."""
        await self._request("POST", "/v1/metrics", content=request.SerializeToString(), headers=PROTOBUF)

    async def _rows(self, path: str, span: Span, asked: Filters, rows: TypeAdapter[list[Row]]) -> list[Row]:
        params = {
            **asked,
            "project": [self._project],
            "start": [span.start.isoformat()],
            "end": [span.end.isoformat()],
        }
        response = await self._request("GET", API + path, params=params)
        try:
            return rows.validate_python(response.json()["rows"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"GET {path}: unreadable answer{_where(error)}") from error

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise StoreError(f"{method} {path}: {type(error).__name__} {error}") from error
        if response.status_code in (429, 503):
            seconds = retry_after_seconds(response.headers, utc_now())
            raise TryLaterError(f"{method} {path}: collector answered {response.status_code}", seconds)
        if response.status_code in (400, 413, 422):  # this one is at fault; a wrong token, say, is not
            raise QueryError(f"{method} {path}: collector answered {response.status_code}: {response.text[:300]}")
        if not response.is_success:
            raise StoreError(f"{method} {path}: collector answered {response.status_code}")
        return response


def _measured(row: Mapping[str, Any], metric: str, by: str | None) -> Measured:
    value, group = row.get(metric), None if by is None else str(row.get(by, ""))
    try:
        return Measured(group, None if value is None else float(value), int(row.get("requests") or 0))
    except (TypeError, ValueError) as error:
        raise StoreError(f"{metric}: the collector answered {value!r}, which is no number") from error


def _where(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return ""
    return f" at {'.'.join(str(part) for part in error.errors()[0]['loc'])}"


def total_requests(measured: Iterable[Measured]) -> int:
    return sum(group.requests for group in measured)
