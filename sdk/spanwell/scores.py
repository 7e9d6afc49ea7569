"""Scores: a number that a user, a test or a program gives to a trace or to one span of it."""

import math
import time
from datetime import UTC, datetime
from typing import Literal

from opentelemetry import trace

from spanwell.errors import logger, shielded
from spanwell.masking import mask_secrets
from spanwell.payload import clean, cut
from spanwell.setup import current

MAX_COMMENT_CHARS = 4000
MAX_NAME_CHARS = 200

Source = Literal["user", "judge", "code", "human"]


def score(
    name: str,
    value: float,
    *,
    comment: str = "",
    trace_id: str | None = None,
    span_id: str | None = None,
    source: Source = "code",
) -> None:
    """Score the current span, or the trace (and span) that is named: `score("helpful", 1.0)`.

    Sent in the background. Another score with the same name and source replaces it. `source` is "user" for feedback
    that somebody gave. A score without a span to stand on, or whose value is no finite number, is logged and dropped.
    """
    with shielded("take a score"):
        found = trace.get_current_span().get_span_context()
        if trace_id is None and found.is_valid:
            trace_id, span_id = trace.format_trace_id(found.trace_id), span_id or trace.format_span_id(found.span_id)
        if trace_id is None or not math.isfinite(value):
            logger.warning("spanwell dropped score %r: it needs a current span or trace_id=, and a finite value", name)
            return
        runtime = current()
        now_s = runtime.now_ns() / 1e9 if runtime.now_ns else time.time()
        runtime.put_score(
            {
                "trace_id": trace_id,
                "span_id": span_id or "",
                "name": clean(cut(name, MAX_NAME_CHARS)),
                "value": float(value),
                "comment": clean(mask_secrets(cut(comment, MAX_COMMENT_CHARS))),
                "source": source,
                "ts": datetime.fromtimestamp(now_s, UTC).isoformat(),
            }
        )
