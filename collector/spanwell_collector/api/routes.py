"""The routes under /api/v1: each names its question and its parameters, and holds nothing else."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from spanwell_collector.api.answers import answer_error, answer_json, answer_rows, to_rows
from spanwell_collector.api.params import (
    MAX_BUCKETS,
    SPAN_ID,
    TRACE_ID,
    AlertEventIn,
    BreakdownQuestion,
    DimensionName,
    DriftCheckIn,
    Filtered,
    ListQuestion,
    SamplesQuestion,
    ScoreIn,
    ScoreSeriesQuestion,
    ScoresQuestion,
    ScoreSummaryQuestion,
    SeriesQuestion,
    TracesQuestion,
    Window,
)
from spanwell_collector.queries import findings, metrics, samples, scores, traces
from spanwell_collector.queries.selection import Selection
from spanwell_collector.registry import DIMENSIONS, METRICS
from spanwell_collector.store.client import Store

TraceId = Annotated[str, Path(pattern=TRACE_ID)]
SpanId = Annotated[str, Path(pattern=SPAN_ID)]


def build_routes(store: Store, project: str) -> APIRouter:
    """The query API over `store`; `project` is asked about when a request names none."""
    routes = APIRouter(prefix="/api/v1")
    _add_metrics(routes, store, project)
    _add_traces(routes, store, project)
    _add_scores(routes, store, project)
    _add_findings(routes, store, project)
    return routes


def _select(window: Window, project: str) -> Selection:
    return window.select(project, datetime.now(UTC))


def _add_metrics(routes: APIRouter, store: Store, project: str) -> None:
    @routes.get("/catalog")
    def get_catalog() -> dict[str, Any]:
        """The metrics and dimensions that the other questions take."""
        return {
            "metrics": [{"name": item.name, "unit": item.unit, "help": item.help} for item in METRICS.values()],
            "dimensions": [item._asdict() for item in DIMENSIONS.values()],
        }

    @routes.get("/overview")
    def get_overview(request: Request, asked: Annotated[Filtered, Query()]) -> Response:
        """Every metric, over the window and over the one before it."""
        return answer_rows(request, metrics.get_overview(store, _select(asked, project)))

    @routes.get("/series")
    def get_series(request: Request, asked: Annotated[SeriesQuestion, Query()]) -> Response:
        """Metrics over time; buckets without a call are left out."""
        selection = _select(asked, project)
        if asked.bucket_seconds and selection.length.total_seconds() / asked.bucket_seconds > MAX_BUCKETS:
            return answer_error(
                400, f"bucket_seconds: more than {MAX_BUCKETS} buckets; take longer ones", field="bucket_seconds"
            )
        series = metrics.get_series(store, selection, asked.metric, by=asked.by, bucket_seconds=asked.bucket_seconds)
        return answer_rows(request, series.rows, bucket_seconds=series.bucket_seconds)

    @routes.get("/breakdown")
    def get_breakdown(request: Request, asked: Annotated[BreakdownQuestion, Query()]) -> Response:
        """Metrics for each value of a dimension."""
        rows = metrics.get_breakdown(store, _select(asked, project), asked.metric, by=asked.by, limit=asked.limit)
        return answer_rows(request, rows)

    @routes.get("/dimensions/{name}/values")
    def list_values(request: Request, name: DimensionName, asked: Annotated[Filtered, Query()]) -> Response:
        """The values a dimension takes, most used first."""
        return answer_rows(request, metrics.get_values(store, _select(asked, project), name))

    @routes.get("/samples")
    def list_samples(request: Request, asked: Annotated[SamplesQuestion, Query()]) -> Response:
        """Successful model calls with their texts, newest first."""
        rows = samples.list_samples(store, _select(asked, project), share=asked.share, limit=asked.limit)
        return answer_rows(request, rows)


def _add_traces(routes: APIRouter, store: Store, project: str) -> None:
    @routes.get("/traces")
    def list_traces(request: Request, asked: Annotated[TracesQuestion, Query()]) -> Response:
        """Traces, newest first; `next` is the cursor of the page that follows."""
        only = traces.TraceFilter(asked.search, asked.min_duration_ms, asked.cursor)
        page = traces.list_traces(store, _select(asked, project), only, limit=asked.limit)
        return answer_rows(request, page.rows, next=page.next)

    @routes.get("/traces/{trace_id}")
    def get_trace(request: Request, trace_id: TraceId, asked: Annotated[Window, Query()]) -> Response:
        """Every span of a trace, without its texts."""
        rows = traces.get_trace(store, asked.project or project, trace_id)
        if rows.num_rows == 0:
            return answer_error(404, f"there is no trace {trace_id}", field="trace_id")
        return answer_rows(request, rows)

    @routes.get("/traces/{trace_id}/spans/{span_id}")
    def get_span(trace_id: TraceId, span_id: SpanId, asked: Annotated[Window, Query()]) -> Response:
        """One span with its texts and its scores."""
        chosen = _select(asked, project)
        rows = to_rows(traces.get_trace(store, chosen.project, trace_id))
        span = next((row for row in rows if row["span_id"] == span_id), None)
        if span is None:
            return answer_error(404, f"there is no span {span_id} in trace {trace_id}", field="span_id")
        text_in, text_out = traces.get_texts(store, chosen.project, trace_id, span_id)
        only = scores.ScoreFilter(trace_id=trace_id, span_id=span_id)
        given = to_rows(scores.list_scores(store, chosen, only, limit=200))
        return answer_json({"span": span, "input": text_in, "output": text_out, "scores": given})


def _add_scores(routes: APIRouter, store: Store, project: str) -> None:
    @routes.post("/scores", status_code=201)
    def post_scores(posted: ScoreIn | list[ScoreIn]) -> Response:
        """Store one score or many; the same judge's later word on the same span replaces the earlier one."""
        given = posted if isinstance(posted, list) else [posted]
        now = datetime.now(UTC)
        rows = [
            scores.Score(**{**score.model_dump(), "ts": score.ts or now, "project": score.project or project})
            for score in given
        ]
        if rows:
            scores.store_scores(store, rows)
        return answer_json({"stored": len(rows)}, 201)

    @routes.get("/scores")
    def list_scores(request: Request, asked: Annotated[ScoresQuestion, Query()]) -> Response:
        """Scores, newest first."""
        only = scores.ScoreFilter(asked.name, asked.source, asked.trace_id)
        return answer_rows(request, scores.list_scores(store, _select(asked, project), only, limit=asked.limit))

    @routes.get("/scores/summary")
    def summarize_scores(request: Request, asked: Annotated[ScoreSummaryQuestion, Query()]) -> Response:
        """Count, mean and pass rate of each group."""
        return answer_rows(request, scores.summarize_scores(store, _select(asked, project), asked.by))

    @routes.get("/scores/series")
    def get_score_series(request: Request, asked: Annotated[ScoreSeriesQuestion, Query()]) -> Response:
        """Mean score over time."""
        return answer_rows(request, scores.get_score_series(store, _select(asked, project), asked.by))


def _add_findings(routes: APIRouter, store: Store, project: str) -> None:
    @routes.post("/drift", status_code=201)
    def post_drift(posted: DriftCheckIn) -> Response:
        """Store a drift check; the same (segment, ts) replaces it."""
        row = findings.DriftCheck(**{**posted.model_dump(), "project": posted.project or project})
        findings.store_finding(store, row)
        return answer_json({"stored": 1}, 201)

    @routes.get("/drift")
    def list_drift(request: Request, asked: Annotated[ListQuestion, Query()]) -> Response:
        """Drift checks, newest first."""
        rows = findings.list_findings(store, findings.DriftCheck, _select(asked, project), limit=asked.limit)
        return answer_rows(request, rows)

    @routes.post("/alerts/events", status_code=201)
    def post_alert_event(posted: AlertEventIn) -> Response:
        """Store an alert's firing or recovery."""
        row = findings.AlertEvent(**{**posted.model_dump(), "project": posted.project or project})
        findings.store_finding(store, row)
        return answer_json({"stored": 1}, 201)

    @routes.get("/alerts/events")
    def list_alert_events(request: Request, asked: Annotated[ListQuestion, Query()]) -> Response:
        """Alert events, newest first."""
        rows = findings.list_findings(store, findings.AlertEvent, _select(asked, project), limit=asked.limit)
        return answer_rows(request, rows)
