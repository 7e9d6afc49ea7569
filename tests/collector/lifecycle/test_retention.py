"""How long data is kept: what the configuration may say, and that rows go when their time is over."""

from collections.abc import Iterator
from typing import Any

import pytest

from spanwell.errors import ConfigError
from spanwell_collector.lifecycle.retention import Days, Retention, Rule, apply_rules, make_rules, read_retention
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from tests.collector.conftest import poll

OLD_SPANS = """
INSERT INTO spanwell.spans (project, ts, trace_id, span_id)
SELECT if(number % 2 = 0, {short:String}, 'bank'), now64(6) - toIntervalDay(number), toString(number), '1'
FROM numbers(40)
"""
KEPT = "SELECT project, count() AS spans FROM spanwell.spans GROUP BY project ORDER BY project"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(path=tmp_path_factory.mktemp("store"))
    migrate(store, load_migrations())
    yield store
    store.close()


def test_a_project_keeps_what_it_does_not_name_as_all_do() -> None:
    section = {"spans_days": 60, "projects": {"shop": {"texts_days": 7}, "bank": None}}

    retention = read_retention(section)

    assert retention.default == Days(spans=60)
    assert retention.projects == {"bank": Days(spans=60), "shop": Days(spans=60, texts=7)}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"span_days": 1}, "retention: unknown key 'span_days'; allowed are spans_days, texts_days, "),
        ({"spans_days": 0}, "retention.spans_days: write a number of days between 1 and 3660"),
        ({"spans_days": True}, "retention.spans_days: write a number of days"),
        ({"spans_days": "90"}, "retention.spans_days: write a number of days"),
        ({"projects": ["shop"]}, "retention.projects must be a mapping"),
        ({"projects": {"shop": 30}}, "retention.projects.shop must be a mapping"),
        ({"projects": {"shop": {"projects": {}}}}, "retention.projects.shop: unknown key 'projects'"),
    ],
)
def test_a_wrong_key_or_value_is_named(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_retention(section)


def test_projects_stand_in_one_expression() -> None:
    rules = {rule.table: rule for rule in make_rules(read_retention({"projects": {"it's": {"spans_days": 7}}}))}

    ttl = "toDateTime(ts) + toIntervalDay(transform(project, ['it\\'s'], [7], 90))"
    assert rules["spans"] == Rule("spans", ttl, by_row=True)
    assert rules["texts"] == Rule("texts", "toDateTime(ts) + toIntervalDay(30)", by_row=False)
    assert rules["trace_index"] == Rule("trace_index", "toDateTime(first_ts) + toIntervalDay(90)", by_row=False)


def test_old_rows_of_one_project_go_and_those_of_the_other_stay(store: Store) -> None:
    short = "sh'op\\"
    store.command(OLD_SPANS, {"short": short})

    changed = apply_rules(store, make_rules(Retention(Days(), {short: Days(spans=10)})))

    assert "spans" in [rule.table for rule in changed]
    expected = [{"project": "bank", "spans": 20}, {"project": short, "spans": 5}]
    assert poll(lambda: store.query(KEPT).to_pylist(), lambda rows: rows == expected, seconds=30) == expected


def test_what_is_in_force_is_not_applied_again(store: Store) -> None:
    rules = make_rules(Retention(Days(), {}))
    apply_rules(store, rules)

    assert apply_rules(store, rules) == []
    assert apply_rules(store, make_rules(Retention(Days(texts=5), {}))) == [
        Rule("texts", "toDateTime(ts) + toIntervalDay(5)", by_row=False)
    ]
