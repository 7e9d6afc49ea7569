"""Which spans a question is about: project, window and filters, as a WHERE clause with bound parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from spanwell_collector.registry import DIMENSIONS

WINDOW: Final = (
    "project = {project:String}"
    " AND ts >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')"
    " AND ts < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')"
)


@dataclass(frozen=True)
class Selection:
    """Spans of `project` that started in [start, end); `filters` maps a dimension to the values it may have."""

    project: str
    start: datetime
    end: datetime
    filters: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    def previous(self) -> "Selection":
        """The same length of time just before."""
        return Selection(self.project, self.start - self.length, self.start, self.filters)

    def where(self) -> str:
        """The condition; `parameters` binds what it names."""
        return " AND ".join([WINDOW, *self._conditions()])

    def matches(self) -> str:
        """The filters alone, true when there are none."""
        return " AND ".join(self._conditions()) or "true"

    def parameters(self) -> dict[str, Any]:
        return {
            "project": self.project,
            "start_us": microseconds(self.start),
            "end_us": microseconds(self.end),
            **{f"only_{name}": values for name, values in self.filters.items()},
        }

    def _conditions(self) -> list[str]:
        return [f"{DIMENSIONS[name].name} IN {{only_{name}:Array(String)}}" for name in self.filters]


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly: a float would round the last digit."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def statement(*lines: str) -> str:
    """Join the lines of one statement; empty ones fall out."""
    return "\n".join(line for line in lines if line)
