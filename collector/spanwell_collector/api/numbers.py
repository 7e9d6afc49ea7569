"""The routes of metrics: over a window, over time, by a dimension, spread and compared."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from spanwell_collector.api.answers import answer_error, answer_rows
from spanwell_collector.api.filters import describe_filters
from spanwell_collector.api.leaving import leavable
from spanwell_collector.api.params import (
    MAX_BUCKETS,
    BreakdownQuestion,
    CompareQuestion,
    DimensionName,
    Filtered,
    HistogramQuestion,
    OverviewQuestion,
    SamplesQuestion,
    SeriesQuestion,
    to_field,
)
from spanwell_collector.queries import metrics, samples
from spanwell_collector.queries.compare import compare
from spanwell_collector.queries.histogram import get_histogram
from spanwell_collector.queries.selection import OPERATORS
from spanwell_collector.registry import ALL_METRICS, DIMENSIONS, FIELDS, MAP_FIELDS
from spanwell_collector.store.client import Store


def build_number_routes(store: Store, project: str) -> APIRouter:
    routes = APIRouter(tags=["numbers"], route_class=leavable(store))
    _add_catalog(routes)
    _add_windows(routes, store, project)
    _add_groups(routes, store, project)
    return routes


def _add_catalog(routes: APIRouter) -> None:
    @routes.get("/catalog")
    def get_catalog() -> dict[str, Any]:
        """The metrics, dimensions and fields that the other questions take."""
        fields = [*FIELDS.values(), *MAP_FIELDS.values()]
        return {
            "metrics": [{"name": item.name, "unit": item.unit, "help": item.help} for item in ALL_METRICS.values()],
            "dimensions": [{"name": item.name, "help": item.help} for item in DIMENSIONS.values()],
            "fields": [
                {"name": item.name, "kind": item.kind, "help": item.help, "operators": OPERATORS[item.kind]}
                for item in fields
            ],
        }


def _add_windows(routes: APIRouter, store: Store, project: str) -> None:
    @routes.get("/overview", openapi_extra=describe_filters())
    def get_overview(request: Request, asked: Annotated[OverviewQuestion, Query()]) -> Response:
        """Metrics over the window and over the one before it; without `metric`, the usual ones."""
        return answer_rows(request, metrics.get_overview(store, asked.select(project, _now()), asked.metric))

    @routes.get("/series", openapi_extra=describe_filters())
    def get_series(request: Request, asked: Annotated[SeriesQuestion, Query()]) -> Response:
        """Metrics over time; buckets without a call are left out."""
        selection = asked.select(project, _now())
        if asked.bucket_seconds and selection.length.total_seconds() / asked.bucket_seconds > MAX_BUCKETS:
            return answer_error(
                400, f"bucket_seconds: more than {MAX_BUCKETS} buckets; take longer ones", field="bucket_seconds"
            )
        by = to_field(asked.by) if asked.by else None
        series = metrics.get_series(store, selection, asked.metric, by=by, bucket_seconds=asked.bucket_seconds)
        return answer_rows(request, series.rows, bucket_seconds=series.bucket_seconds)

    @routes.get("/histogram", openapi_extra=describe_filters())
    def read_histogram(request: Request, asked: Annotated[HistogramQuestion, Query()]) -> Response:
        """How many requests lie in each of ten buckets a power of ten: low <= number < high."""
        return answer_rows(request, get_histogram(store, asked.select(project, _now()), to_field(asked.of)))

    @routes.get("/compare", openapi_extra=describe_filters())
    def read_comparison(request: Request, asked: Annotated[CompareQuestion, Query()]) -> Response:
        """Two windows or two groups of calls: `a.start`, `b.model` and so on are about one side, the rest about both.

        With nothing of its own, `a` is the window before `b`. Each value comes with the requests it was taken over.
        """
        sides, by = asked.select_sides(project, _now()), to_field(asked.by) if asked.by else None
        return answer_rows(request, compare(store, sides, asked.metric, by=by, limit=asked.limit))


def _add_groups(routes: APIRouter, store: Store, project: str) -> None:
    @routes.get("/breakdown", openapi_extra=describe_filters())
    @routes.get("/top", openapi_extra=describe_filters())
    def get_breakdown(request: Request, asked: Annotated[BreakdownQuestion, Query()]) -> Response:
        """Metrics for each value of a dimension, the largest of the first metric first."""
        selection, by = asked.select(project, _now()), to_field(asked.by)
        return answer_rows(request, metrics.get_breakdown(store, selection, asked.metric, by=by, limit=asked.limit))

    @routes.get("/dimensions/{name}/values", openapi_extra=describe_filters())
    def list_values(request: Request, name: DimensionName, asked: Annotated[Filtered, Query()]) -> Response:
        """The values a dimension takes, most used first."""
        return answer_rows(request, metrics.get_values(store, asked.select(project, _now()), to_field(name)))

    @routes.get("/samples", openapi_extra=describe_filters())
    def list_samples(request: Request, asked: Annotated[SamplesQuestion, Query()]) -> Response:
        """Successful model calls with their texts, newest first."""
        selection = asked.select(project, _now())
        return answer_rows(request, samples.list_samples(store, selection, share=asked.share, limit=asked.limit))


def _now() -> datetime:
    return datetime.now(UTC)
