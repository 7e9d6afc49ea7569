"""The grammar of filters in a query string, and how OpenAPI tells of it.

model=small&model=large      any of the values          attribute.tenant=acme    any attribute, by its key
model!=small                 none of them               duration_ms>=250         numbers, ends included
name~=chat                   contains, in any case      duration_ms<=1000
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import PydanticCustomError

from spanwell_collector.queries.selection import OPERATORS, Filter, Operator
from spanwell_collector.registry import FIELDS, MAP_FIELDS, Field, find_field

MOST_VALUES: Final = 100
MOST_FILTERS: Final = 50
LONGEST_VALUE: Final = 2000
# A query string is split at its first equals sign: `model!=small` arrives as the name `model!`.
SUFFIXES: Final[Mapping[str, Operator]] = {"!": "!=", "~": "~=", ">": ">=", "<": "<="}


def read_filters(given: Mapping[str, Any]) -> tuple[Filter, ...]:
    """The filters in `given`, name to value or values. Raises PydanticCustomError, which names the field."""
    if len(given) > MOST_FILTERS:
        raise PydanticCustomError("too_many", "at most {most} filters", {"most": MOST_FILTERS})
    return tuple(_read_filter(name, given[name]) for name in given)


def _read_filter(name: str, given: Any) -> Filter:
    bare, operator = (name[:-1], SUFFIXES[name[-1]]) if name[-1:] in SUFFIXES else (name, "=")
    field = find_field(bare)
    if field is None:
        allowed = sorted([*FIELDS, *(one.name for one in MAP_FIELDS.values())])
        raise _refuse(name, f"there is no field {bare!r}", allowed)
    if operator not in OPERATORS[field.kind]:
        raise _refuse(name, f"{bare} does not take {operator}", OPERATORS[field.kind])
    values = tuple(given) if isinstance(given, list) else (str(given),)
    return _check_values(Filter(field, operator, values))


def _check_values(one: Filter) -> Filter:
    name, values = one.field.name, one.values
    if len(values) > MOST_VALUES or max(map(len, values)) > LONGEST_VALUE:
        raise _refuse(name, f"at most {MOST_VALUES} values of {LONGEST_VALUE} characters")
    if one.operator == "~=" and "" in values:
        raise _refuse(name, "everything contains the empty text")
    if one.operator in (">=", "<=") and len(values) > 1:
        raise _refuse(name, f"{one.operator} is given once")
    if one.field.kind == "flag" and not set(values) <= {"true", "false"}:
        raise _refuse(name, "true or false", ["true", "false"])
    if one.is_numeric and not all(map(_is_number, values)):
        raise _refuse(name, "a number is wanted")
    return one


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _refuse(name: str, message: str, allowed: Any = None) -> PydanticCustomError:
    # The message is a template of its own, and the name in it came from a stranger.
    return PydanticCustomError("not_allowed", "{why}", {"why": message, "field": name, "allowed": allowed})


def describe_filters() -> dict[str, Any]:
    """What OpenAPI is to add to a question that takes filters."""
    return {"parameters": [_describe(field) for field in [*FIELDS.values(), *MAP_FIELDS.values()]]}


def _describe(field: Field) -> dict[str, Any]:
    more = ", ".join(f"`{field.name}{operator}...`" for operator in OPERATORS[field.kind][1:])
    return {
        "name": field.name,
        "in": "query",
        "required": False,
        "description": f"{field.help}. Also: {more}",
        "schema": {"type": "array", "items": {"type": "number" if field.kind == "number" else "string"}},
    }
