"""The routes of scores."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from spanwell_collector.api.answers import answer_json, answer_rows
from spanwell_collector.api.bodies import ScoreIn
from spanwell_collector.api.leaving import leavable
from spanwell_collector.api.params import ScoreSeriesQuestion, ScoresQuestion, ScoreSummaryQuestion
from spanwell_collector.queries import scores
from spanwell_collector.store.client import Store


def build_score_routes(store: Store, project: str) -> APIRouter:
    routes = APIRouter(prefix="/scores", tags=["scores"], route_class=leavable(store))

    @routes.post("", status_code=201)
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

    @routes.get("")
    def list_scores(request: Request, asked: Annotated[ScoresQuestion, Query()]) -> Response:
        """Scores, newest first."""
        only = scores.ScoreFilter(asked.name, asked.source, asked.trace_id)
        selection = asked.select(project, datetime.now(UTC))
        return answer_rows(request, scores.list_scores(store, selection, only, limit=asked.limit))

    @routes.get("/summary")
    def summarize_scores(request: Request, asked: Annotated[ScoreSummaryQuestion, Query()]) -> Response:
        """Count, mean and pass rate of each group."""
        selection = asked.select(project, datetime.now(UTC))
        return answer_rows(request, scores.summarize_scores(store, selection, asked.by))

    @routes.get("/series")
    def get_score_series(request: Request, asked: Annotated[ScoreSeriesQuestion, Query()]) -> Response:
        """Mean score over time."""
        selection = asked.select(project, datetime.now(UTC))
        return answer_rows(request, scores.get_score_series(store, selection, asked.by))

    return routes
