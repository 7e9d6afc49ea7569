"""The routes of traces: the list, one trace, and one of its spans."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from spanwell_collector.api.answers import answer_error, answer_json, answer_rows, to_rows
from spanwell_collector.api.filters import describe_filters
from spanwell_collector.api.leaving import leavable
from spanwell_collector.api.params import SPAN_ID, TRACE_ID, TraceQuestion, TracesQuestion, Window
from spanwell_collector.queries import scores, traces
from spanwell_collector.store.client import Store

TraceId = Annotated[str, Path(pattern=TRACE_ID)]
SpanId = Annotated[str, Path(pattern=SPAN_ID)]


def build_trace_routes(store: Store, project: str) -> APIRouter:
    routes = APIRouter(tags=["traces"], route_class=leavable(store))

    @routes.get("/traces", openapi_extra=describe_filters())
    def list_traces(request: Request, asked: Annotated[TracesQuestion, Query()]) -> Response:
        """Traces, newest first; `next` is the cursor of the page that follows.

        `search` finds traces by any part of their texts, in any language and case.
        """
        only = traces.TraceFilter(asked.search, asked.min_duration_ms, asked.cursor)
        page = traces.list_traces(store, asked.select(project, datetime.now(UTC)), only, limit=asked.limit)
        return answer_rows(request, page.rows, next=page.next)

    @routes.get("/traces/{trace_id}")
    def get_trace(request: Request, trace_id: TraceId, asked: Annotated[TraceQuestion, Query()]) -> Response:
        """The spans of a trace, without their texts, in order of time; `next` is there when there are more."""
        page = traces.get_trace(store, asked.project or project, trace_id, limit=asked.limit, cursor=asked.cursor)
        if page.rows.num_rows == 0 and not asked.cursor:
            return answer_error(404, f"there is no trace {trace_id}", field="trace_id")
        return answer_rows(request, page.rows, next=page.next)

    @routes.get("/traces/{trace_id}/spans/{span_id}")
    def get_span(trace_id: TraceId, span_id: SpanId, asked: Annotated[Window, Query()]) -> Response:
        """One span with its texts and its scores."""
        chosen = asked.select(project, datetime.now(UTC))
        spans = to_rows(traces.get_span(store, chosen.project, trace_id, span_id))
        if not spans:
            return answer_error(404, f"there is no span {span_id} in trace {trace_id}", field="span_id")
        text_in, text_out = traces.get_texts(store, chosen.project, trace_id, span_id)
        only = scores.ScoreFilter(trace_id=trace_id, span_id=span_id)
        given = to_rows(scores.list_scores(store, chosen, only, limit=200))
        return answer_json({"span": spans[0], "input": text_in, "output": text_out, "scores": given})

    return routes
