"""The parameters of each question, checked before anything is asked."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from spanwell_collector.api.filters import read_filters
from spanwell_collector.queries.scores import GROUPS as SCORE_GROUPS
from spanwell_collector.queries.selection import Filter, Selection
from spanwell_collector.registry import DIMENSIONS, MAP_FIELDS, MEASURABLE, METRICS, NUMBERS, find_field, find_metric
from spanwell_collector.registry import Field as SpanField

LAST_HOUR: Final = timedelta(hours=1)
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
MAX_BUCKETS: Final = 1000
MOST_METRICS: Final = 50
TRACE_ID: Final = r"^[0-9a-f]{32}$"
SPAN_ID: Final = r"^[0-9a-f]{16}$"
SIDES: Final = ("a", "b")


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


def measurable(name: str) -> str:
    return name if find_metric(name) else one_of(name, MEASURABLE)


def groupable(name: str) -> str:
    """`name` if spans can be grouped by it: a dimension, or a key of a map."""
    field = find_field(name)
    if field and field.kind == "map":
        return name
    return one_of(name, [*DIMENSIONS, *(one.name for one in MAP_FIELDS.values())])


MetricName = Annotated[str, AfterValidator(measurable)]
Metrics = Annotated[list[MetricName], Field(min_length=1, max_length=MOST_METRICS)]
DimensionName = Annotated[str, AfterValidator(groupable)]
NumberName = Annotated[str, AfterValidator(lambda name: one_of(name, NUMBERS))]
ScoreGroup = Annotated[str, AfterValidator(lambda name: one_of(name, SCORE_GROUPS))]
Moment = Annotated[AwareDatetime, AfterValidator(within_calendar)]


def to_field(name: str) -> SpanField:
    """The field of a name that was checked."""
    field = find_field(name)
    assert field is not None, name
    return field


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

    def select(self, project: str, now: datetime, *more: Filter) -> Selection:
        """What is asked for; `project` and `now` stand in for what was left out, `more` is asked for besides."""
        end = self.end or now
        return Selection(self.project or project, self.start or end - LAST_HOUR, end, (*self.filters(), *more))

    def filters(self) -> tuple[Filter, ...]:
        return ()


class Filtered(Window):
    """A window and what its spans have to be: whatever is not a parameter is a filter."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def filters_are_known(self) -> "Filtered":
        self.filters()
        return self

    def filters(self) -> tuple[Filter, ...]:
        return read_filters(self.model_extra or {})


class OverviewQuestion(Filtered):
    metric: Annotated[list[MetricName], Field(min_length=1, max_length=MOST_METRICS)] = Field(default=list(METRICS))


class SeriesQuestion(Filtered):
    metric: Metrics
    by: DimensionName | None = None
    bucket_seconds: Annotated[int | None, Field(ge=1, le=31_536_000)] = None


class BreakdownQuestion(Filtered):
    by: DimensionName
    metric: Metrics
    limit: Annotated[int, Field(ge=1, le=1000)] = 50


class HistogramQuestion(Filtered):
    of: NumberName = "duration_ms"


class CompareQuestion(Filtered):
    """Parameters that begin with `a.` or `b.` are about one side, all others about both."""

    metric: Metrics
    by: DimensionName | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50

    def filters(self) -> tuple[Filter, ...]:
        return read_filters({name: value for name, value in self._extra().items() if _side_of(name) is None})

    @model_validator(mode="after")
    def sides_are_known(self) -> "CompareQuestion":
        for side in SIDES:
            self._side(side)
        return self

    def select_sides(self, project: str, now: datetime) -> tuple[Selection, Selection]:
        """Both sides. Where they would be the same, `a` is the window before."""
        a, b = (self._side(side).select(project, now) for side in SIDES)
        return (a.previous(), b) if a == b else (a, b)

    def _side(self, side: str) -> Filtered:
        own = {name[2:]: value for name, value in self._extra().items() if _side_of(name) == side}
        shared = {name: value for name, value in self._extra().items() if _side_of(name) is None}
        times = {"project": self.project, "start": self.start, "end": self.end}
        try:
            return Filtered.model_validate({**times, **shared, **own})
        except ValidationError as error:
            first = error.errors()[0]
            field = first.get("ctx", {}).get("field") or ".".join(map(str, first["loc"]))
            raise PydanticCustomError("side", "{why}", {"why": first["msg"], "field": f"{side}.{field}"}) from error

    def _extra(self) -> dict[str, Any]:
        return self.model_extra or {}


def _side_of(name: str) -> str | None:
    return name[0] if name[:2] in ("a.", "b.") else None


class TracesQuestion(Filtered):
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(max_length=200)] = ""
    search: Annotated[str, Field(max_length=1000)] = ""
    min_duration_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class TraceQuestion(Window):
    limit: Annotated[int, Field(ge=1, le=20_000)] = 10_000
    cursor: Annotated[str, Field(max_length=200)] = ""


class PageQuestion(Filtered):
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(max_length=500)] = ""


class UsersQuestion(Filtered):
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class SamplesQuestion(Filtered):
    limit: Annotated[int, Field(ge=1, le=10_000)] = 100
    share: Annotated[float, Field(gt=0, le=1)] = 1.0


class ExportQuestion(Filtered):
    what: Literal["spans", "traces", "scores", "texts"] = "spans"
    format: Literal["parquet", "csv", "jsonl"] = "jsonl"


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
