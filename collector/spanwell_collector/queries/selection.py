"""Which spans a question is about: project, window and filters, as a WHERE clause with bound parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from spanwell_collector.registry import Field, Kind, key_of

WINDOW: Final = (
    "project = {project:String}"
    " AND ts >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')"
    " AND ts < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')"
)

Operator = Literal["=", "!=", "~=", ">=", "<="]

OPERATORS: Final[Mapping[Kind, tuple[Operator, ...]]] = {
    "text": ("=", "!=", "~="),
    "flag": ("=", "!="),
    "number": ("=", "!=", ">=", "<="),
    "list": ("=", "!=", "~="),
    "map": ("=", "!=", "~=", ">=", "<="),
}


class Filter(NamedTuple):
    """What a field has to be: `values` are alternatives, with `!=` none of them may be. Numbers are written as text."""

    field: Field
    operator: Operator
    values: tuple[str, ...]

    @property
    def is_numeric(self) -> bool:
        return self.field.kind == "number" or self.operator in (">=", "<=")


@dataclass(frozen=True)
class Selection:
    """Spans of `project` that started in [start, end) and meet every one of `filters`."""

    project: str
    start: datetime
    end: datetime
    filters: tuple[Filter, ...] = ()

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    def previous(self) -> "Selection":
        """The same length of time just before."""
        return replace(self, start=self.start - self.length, end=self.start)

    def where(self) -> str:
        """The condition; `parameters` binds what it names."""
        return " AND ".join([WINDOW, *self._conditions()])

    def matches(self) -> str:
        """The filters alone, true when there are none."""
        return " AND ".join(self._conditions()) or "true"

    def parameters(self) -> dict[str, Any]:
        bound: dict[str, Any] = {
            "project": self.project,
            "start_us": microseconds(self.start),
            "end_us": microseconds(self.end),
        }
        for index, one in enumerate(self.filters):
            bound |= _bind(index, one)
        return bound

    def _conditions(self) -> list[str]:
        return [_render(index, one) for index, one in enumerate(self.filters)]


def express(field: Field, key: str) -> str:
    """The SQL of a field's value; of a map's, with `key` as the parameter that names the key."""
    return f"{field.sql}[{{{key}:String}}]" if field.kind == "map" else field.sql


def bind_key(field: Field, key: str) -> dict[str, Any]:
    """The parameter that `express` names, if it names one."""
    return {key: key_of(field)} if field.kind == "map" else {}


def _bind(index: int, one: Filter) -> dict[str, Any]:
    values: Any = [float(value) for value in one.values] if one.is_numeric else list(one.values)
    if one.operator in (">=", "<="):
        values = values[0]
    return {f"is_{index}": values, **bind_key(one.field, f"key_{index}")}


def _render(index: int, one: Filter) -> str:
    value = express(one.field, f"key_{index}")
    if one.operator in (">=", "<="):
        number = f"toFloat64OrNull({value})" if one.field.kind == "map" else f"toFloat64({value})"
        return f"ifNull({number} {one.operator} {{is_{index}:Float64}}, false)"
    condition = _compare(one, value, f"{{is_{index}:Array({'Float64' if one.is_numeric else 'String'})}}")
    return f"NOT {condition}" if one.operator == "!=" else condition


def _compare(one: Filter, value: str, given: str) -> str:
    if one.field.kind == "number":
        return f"ifNull(toFloat64({value}) IN {given}, false)"
    if one.field.kind == "list":
        found = f"multiSearchAnyCaseInsensitiveUTF8(item, {given})"
        return f"arrayExists(item -> {found}, {value})" if one.operator == "~=" else f"hasAny({value}, {given})"
    if one.operator == "~=":
        return f"multiSearchAnyCaseInsensitiveUTF8({value}, {given})"
    return f"{value} IN {given}"


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly: a float would round the last digit."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def statement(*lines: str) -> str:
    """Join the lines of one statement; empty ones fall out."""
    return "\n".join(line for line in lines if line)


def field_names(filters: Sequence[Filter]) -> set[str]:
    return {one.field.name for one in filters}
