"""How long each kind of data is kept, of which project: read from the configuration, applied as the tables' TTL."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from spanwell.errors import ConfigError
from spanwell_collector.store.client import Store
from spanwell_collector.store.statements import quote_text

MAX_DAYS: Final = 3660


class Days(NamedTuple):
    """How long, in days. `usage` is for the sums, which hold no texts and outlive what they were made of."""

    spans: int = 90
    texts: int = 30
    scores: int = 365
    metrics: int = 30
    usage: int = 396


class Retention(NamedTuple):
    """`projects` keep as they say; all others by `default`."""

    default: Days
    projects: Mapping[str, Days]


class Rule(NamedTuple):
    """A table's TTL; `by_row` where rows of one part end at different times."""

    table: str
    ttl: str
    by_row: bool


class _Age(NamedTuple):
    column: str  # what a row's age is counted from
    kind: str  # whose days
    by_project: bool = True


AGES: Final = {
    "spans": _Age("ts", "spans"),
    "texts": _Age("ts", "texts"),
    "scores": _Age("ts", "scores"),
    "drift_checks": _Age("ts", "scores"),
    "alert_events": _Age("ts", "scores"),
    "metrics": _Age("ts", "metrics"),
    "ledger": _Age("received", "spans"),
    "dead_letters": _Age("received", "spans"),
    "trace_index": _Age("first_ts", "spans", by_project=False),
    "usage_hourly": _Age("hour", "usage"),
    "usage_daily_users": _Age("day", "usage"),
    "rollups": _Age("period", "usage"),
}
# These are not parted by time, so no part of theirs is ever wholly old.
UNPARTED: Final = frozenset({"scores", "drift_checks", "alert_events", "dead_letters"})
IN_FORCE: Final = """
SELECT table_name, argMax(rule, ts) AS rule, max(ts) AS since
FROM spanwell.retention
GROUP BY table_name
ORDER BY table_name
"""


def read_retention(section: Mapping[str, Any]) -> Retention:
    """The section `retention` of spanwell.yaml. Raises ConfigError naming the key and what is allowed."""
    given = dict(section)
    projects = given.pop("projects", None) or {}
    default = _read_days("retention", given, Days(), more=("projects",))
    if not isinstance(projects, dict):
        raise ConfigError("retention.projects must be a mapping of project names")
    return Retention(
        default,
        {
            str(name): _read_days(f"retention.projects.{name}", days or {}, default)
            for name, days in sorted(projects.items(), key=lambda item: str(item[0]))
        },
    )


def _read_days(where: str, given: Any, default: Days, more: tuple[str, ...] = ()) -> Days:
    if not isinstance(given, dict):
        raise ConfigError(f"{where} must be a mapping such as {{spans_days: 90}}")
    allowed = [f"{kind}_days" for kind in Days._fields]
    for key, value in given.items():
        if key not in allowed:
            raise ConfigError(f"{where}: unknown key {key!r}; allowed are {', '.join([*allowed, *more])}")
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_DAYS:
            raise ConfigError(f"{where}.{key}: write a number of days between 1 and {MAX_DAYS}")
    return default._replace(**{key.removesuffix("_days"): value for key, value in given.items()})


def make_rules(retention: Retention) -> list[Rule]:
    """The TTL of every table whose rows end."""
    return [_make_rule(table, age, retention) for table, age in AGES.items()]


def _make_rule(table: str, age: _Age, retention: Retention) -> Rule:
    default: int = getattr(retention.default, age.kind)
    others = {name: getattr(days, age.kind) for name, days in retention.projects.items()}
    if not age.by_project:
        default = max([default, *others.values()])
    others = {name: days for name, days in others.items() if days != default and age.by_project}
    days = f"transform(project, [{', '.join(map(quote_text, others))}], {list(others.values())}, {default})"
    ttl = f"toDateTime({age.column}) + toIntervalDay({days if others else default})"
    return Rule(table, ttl, by_row=bool(others) or table in UNPARTED)


def read_rules(store: Store) -> list[dict[str, Any]]:
    """What is in force: table_name, rule, since."""
    rows: list[dict[str, Any]] = store.query(IN_FORCE).to_pylist()
    return rows


def apply_rules(store: Store, rules: list[Rule]) -> list[Rule]:
    """Put in force what differs from what is; the rules that did. Old rows go in the background."""
    known = {row["table_name"]: row["rule"] for row in read_rules(store)}
    changed = [rule for rule in rules if known.get(rule.table) != rule.ttl]
    for rule in changed:
        # Dropping whole parts costs nothing, but waits for the last row of each.
        store.alter(rule.table, f"MODIFY SETTING ttl_only_drop_parts = {int(not rule.by_row)}")
        store.alter(rule.table, f"MODIFY TTL {rule.ttl}")
        store.insert("retention", [(rule.table, rule.ttl)], ("table_name", "rule"))
    return changed
