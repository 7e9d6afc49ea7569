"""The parameters of each question, checked before anything is asked."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from spanwell_collector.queries.scores import GROUPS as SCORE_GROUPS
from spanwell_collector.queries.selection import Selection
from spanwell_collector.registry import DIMENSIONS, METRICS

LAST_HOUR: Final = timedelta(hours=1)
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
MAX_BUCKETS: Final = 1000
TRACE_ID: Final = r"^[0-9a-f]{32}$"
SPAN_ID: Final = r"^[0-9a-f]{16}$"


def one_of(name: str, allowed: Iterable[str]) -> str:
    """`name` if it is allowed; the error lists what is."""
    choices = sorted(allowed)
    if name not in choices:
        raise PydanticCustomError("not_allowed", "{name} is not known", {"name": repr(name), "allowed": choices})
    return name


def within_calendar(moment: datetime) -> datetime:
    """`moment` if a window can be counted from it: far from where a calendar ends, and the engine's clock with it."""
    if not EARLIEST <= moment <= LATEST:
        allowed = f"{EARLIEST.date()} to {LATEST.date()}"
        raise PydanticCustomError("not_allowed", "must lie within {allowed}", {"allowed": allowed})
    return moment


MetricName = Annotated[str, AfterValidator(lambda name: one_of(name, METRICS))]
DimensionName = Annotated[str, AfterValidator(lambda name: one_of(name, DIMENSIONS))]
ScoreGroup = Annotated[str, AfterValidator(lambda name: one_of(name, SCORE_GROUPS))]
Moment = Annotated[AwareDatetime, AfterValidator(within_calendar)]
Values = Annotated[list[str], Field(default_factory=list, max_length=100)]


class Window(BaseModel):
    """Project and time, end excluded."""

    model_config = ConfigDict(extra="forbid")

    project: Annotated[str, Field(max_length=200, description="default: the collector's own project")] = ""
    start: Annotated[Moment | None, Field(description="default: an hour before end")] = None
    end: Annotated[Moment | None, Field(description="default: now")] = None

    @model_validator(mode="after")
    def start_is_before_end(self) -> "Window":
        if self.start and self.start >= (self.end or datetime.now(UTC)):
            raise PydanticCustomError("order", "start must lie before end", {"field": "start"})
        return self

    def select(self, project: str, now: datetime) -> Selection:
        """What is asked for; `project` and `now` stand in for what was left out."""
        end = self.end or now
        return Selection(self.project or project, self.start or end - LAST_HOUR, end, self.filters())

    def filters(self) -> dict[str, list[str]]:
        return {}


class Filtered(Window):
    """A window and what its spans have to be; values of one filter are alternatives."""

    model: Values
    request_model: Values
    provider: Values
    operation: Values
    status: Values
    app: Values
    user_id: Values
    session_id: Values
    cache: Values
    deployment: Values
    key_id: Values
    team: Values
    environment: Values

    def filters(self) -> dict[str, list[str]]:
        return {name: values for name in DIMENSIONS if (values := getattr(self, name))}


class SeriesQuestion(Filtered):
    metric: Annotated[list[MetricName], Field(min_length=1, max_length=len(METRICS))]
    by: DimensionName | None = None
    bucket_seconds: Annotated[int | None, Field(ge=1, le=31_536_000)] = None


class BreakdownQuestion(Filtered):
    by: DimensionName
    metric: Annotated[list[MetricName], Field(min_length=1, max_length=len(METRICS))]
    limit: Annotated[int, Field(ge=1, le=1000)] = 50


class TracesQuestion(Filtered):
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(max_length=200)] = ""
    search: Annotated[str, Field(max_length=1000)] = ""
    min_duration_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class SamplesQuestion(Filtered):
    limit: Annotated[int, Field(ge=1, le=10_000)] = 100
    share: Annotated[float, Field(gt=0, le=1)] = 1.0


class ListQuestion(Window):
    limit: Annotated[int, Field(ge=1, le=10_000)] = 200


class ScoresQuestion(ListQuestion):
    name: str = ""
    source: str = ""
    trace_id: Annotated[str, Field(pattern=TRACE_ID + "|^$")] = ""


class ScoreSummaryQuestion(Window):
    by: Annotated[list[ScoreGroup], Field(min_length=1, max_length=4)] = Field(default=["name"])


class ScoreSeriesQuestion(Window):
    by: ScoreGroup = "name"


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
