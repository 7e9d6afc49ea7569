"""What is posted: scores, drift checks and alert events, checked before anything is stored."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from spanwell_collector.api.params import SPAN_ID, TRACE_ID, Moment

MAX_BODY_BYTES: Final = 8 << 20  # parsed, one takes many times its size


def bound_body(receive: Receive) -> Receive:
    """`receive`, which raises HTTPException when more has come than any question or posted thing can need."""
    size = 0

    async def receive_some() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise HTTPException(413, f"the request is larger than {MAX_BODY_BYTES} bytes")
        return message

    return receive_some


class ScoreIn(BaseModel):
    """A score as it is posted."""

    model_config = ConfigDict(extra="forbid")

    trace_id: Annotated[str, Field(pattern=TRACE_ID)]
    span_id: Annotated[str, Field(pattern=SPAN_ID + "|^$")] = ""
    name: Annotated[str, Field(min_length=1, max_length=200)]
    value: Annotated[float, Field(allow_inf_nan=False)]
    source: Literal["user", "judge", "code", "human"]
    label: Annotated[str, Field(max_length=200)] = ""
    comment: Annotated[str, Field(max_length=20_000)] = ""
    author: Annotated[str, Field(max_length=200)] = ""
    rubric: Annotated[str, Field(max_length=200)] = ""
    sample_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    ts: Moment | None = None
    project: Annotated[str, Field(max_length=200)] = ""


class DriftCheckIn(BaseModel):
    """A drift check as it is posted."""

    model_config = ConfigDict(extra="forbid")

    ts: Moment
    segment: Annotated[str, Field(max_length=200)]
    window_start: Moment
    reference_start: Moment
    reference_end: Moment
    sessions_reference: Annotated[int, Field(ge=0)]
    sessions_current: Annotated[int, Field(ge=0)]
    prompts_reference: Annotated[int, Field(ge=0)]
    prompts_current: Annotated[int, Field(ge=0)]
    statistic: float
    p_value: Annotated[float, Field(ge=0, le=1)]
    alpha: Annotated[float, Field(ge=0, le=1)]
    drifted: bool
    terms: Annotated[list[str], Field(max_length=100)] = []
    examples: Annotated[list[str], Field(max_length=100)] = []
    project: Annotated[str, Field(max_length=200)] = ""


class AlertEventIn(BaseModel):
    """An alert event as it is posted."""

    model_config = ConfigDict(extra="forbid")

    ts: Moment
    rule: Annotated[str, Field(min_length=1, max_length=200)]
    fingerprint: Annotated[str, Field(max_length=200)]
    state: Literal["firing", "resolved"]
    severity: Annotated[str, Field(max_length=50)] = ""
    value: float
    threshold: float
    labels: Annotated[dict[str, str], Field(max_length=50)] = {}
    summary: Annotated[str, Field(max_length=2000)] = ""
    delivery: Literal["delivered", "failed", "pending", "none"] = "none"
    receiver: Annotated[str, Field(max_length=200)] = ""
    project: Annotated[str, Field(max_length=200)] = ""
