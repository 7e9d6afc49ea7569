"""A provider's bill beside what is stored: what is compared, and what each difference is put down to."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanwell.errors import ConfigError
from spanwell.pricing import Usage
from spanwell_collector.prices.exports import Line, read_export
from spanwell_collector.prices.questions import list_billed
from spanwell_collector.prices.reconcile import read_stored, reconcile
from spanwell_collector.queries.selection import Selection
from spanwell_collector.store.client import Store
from tests.collector.prices.calls import call, insert

EXPORTS = Path(__file__).with_name("exports")
DAY = date(2026, 11, 4)
OURS = [
    Line(DAY, "m", "", "input", 1000, Decimal("0.001")),
    Line(DAY, "m", "", "output", 100, Decimal("0.0002")),
    Line(DAY, "m", "", "request", calls=10),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "openai_usage.json",
            [
                Line(DAY, "gpt-4o-mini-2024-07-18", "key_a", "input", 500),
                Line(DAY, "gpt-4o-mini-2024-07-18", "key_a", "cached", 300),
                Line(DAY, "gpt-4o-mini-2024-07-18", "key_a", "audio_input", 200),
                Line(DAY, "gpt-4o-mini-2024-07-18", "key_a", "output", 90),
                Line(DAY, "gpt-4o-mini-2024-07-18", "key_a", "audio_output", 10),
                Line(DAY, "gpt-4o-mini-2024-07-18", "key_a", "request", calls=5),
            ],
        ),
        (
            "openai_costs.json",
            [
                Line(DAY, "gpt-4o-mini-2024-07-18", "", "input", usd=Decimal("0.06")),
                Line(DAY, "gpt-4o-mini-2024-07-18", "", "cached", usd=Decimal("0.0125")),
                Line(DAY, "Code Interpreter", "", "other", usd=Decimal("0.03")),
            ],
        ),
        (
            "openai_usage.csv",
            [
                Line(DAY, "gpt-4o-2024-08-06", "key_a", "input", 700),
                Line(DAY, "gpt-4o-2024-08-06", "key_a", "cached", 300),
                Line(DAY, "gpt-4o-2024-08-06", "key_a", "output", 100),
                Line(DAY, "gpt-4o-2024-08-06", "key_a", "request", calls=4),
            ],
        ),
        ("openai_costs.csv", [Line(DAY, "gpt-4o-2024-08-06", "", "output", usd=Decimal("1.5"))]),
        (
            "anthropic_usage.json",
            [
                Line(DAY, "claude-sonnet-4-5-20250929", "apikey_1", "input", 1500),
                Line(DAY, "claude-sonnet-4-5-20250929", "apikey_1", "cached", 200),
                Line(DAY, "claude-sonnet-4-5-20250929", "apikey_1", "cache_write", 500),
                Line(DAY, "claude-sonnet-4-5-20250929", "apikey_1", "cache_write_1h", 1000),
                Line(DAY, "claude-sonnet-4-5-20250929", "apikey_1", "output", 500),
            ],
        ),
        (
            "anthropic_cost.json",
            [
                Line(DAY, "claude-sonnet-4-5-20250929", "", "input", usd=Decimal("1.2378912")),
                Line(DAY, "claude-sonnet-4-5-20250929", "", "cache_write_1h", usd=Decimal("0.006")),
                Line(DAY, "", "", "other", usd=Decimal("0.1")),
            ],
        ),
        (
            "anthropic_usage.csv",
            [
                Line(DAY, "claude-sonnet-4-5-20250929", "production", "input", 8),
                Line(DAY, "claude-sonnet-4-5-20250929", "production", "cached", 40),
                Line(DAY, "claude-sonnet-4-5-20250929", "production", "cache_write", 20),
                Line(DAY, "claude-sonnet-4-5-20250929", "production", "output", 3),
            ],
        ),
        (
            "plain.csv",
            [
                Line(DAY, "m", "k", "input", 1000, Decimal("0.001"), 2),
                Line(DAY, "m", "k", "output", 10, None, None),
            ],
        ),
    ],
)
def test_each_shape_is_read(name: str, expected: list[Line]) -> None:
    lines = read_export(EXPORTS / name)

    assert [line._replace(provider="") for line in lines] == expected
    assert {line.provider for line in lines} == {name.partition("_")[0] if "_" in name else ""}


HEAD = "usd,kind,tokens,day,model"


def test_a_file_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(
        b'\xef\xbb\xbfusd,"kind",tokens,day,model,calls\r\n'
        b'0.5,input,100,2026-11-04,"vendor, inc/m",\r\n'
        b'-0.25,other,,20261104,"vendor, inc/m",\r\n'
        b'0.5,input,100,2026-11-04,"vendor, inc/m",3\r\n'
    )

    assert read_export(path) == [
        Line(DAY, "vendor, inc/m", "", "input", 200, Decimal(1), 3),
        Line(DAY, "vendor, inc/m", "", "other", None, Decimal("-0.25")),
    ]


@pytest.mark.parametrize(
    "written", ["1793793600", "2026-11-04", "20261104", "2026-11-04T12:00:00Z", "2026-11-03T20:00:00-08:00"]
)
def test_a_day_is_utcs_however_it_is_written(tmp_path: Path, written: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{HEAD}\n1,input,1,{written},m\n")

    assert [line.day for line in read_export(path)] == [DAY]


def test_a_day_without_usage_is_one_on_which_nothing_is_billed(tmp_path: Path) -> None:
    used = json.loads((EXPORTS / "openai_usage.json").read_text())
    used["data"].append({**used["data"][0], "start_time": used["data"][0]["start_time"] + 86_400, "results": []})
    path = tmp_path / "x.json"
    path.write_text(json.dumps(used))
    tomorrow = DAY + timedelta(days=1)
    ours = [Line(tomorrow, "gpt-4o-mini", "", "input", 10, Decimal(1))]

    differences = reconcile(ours, read_export(path)).differences

    assert [(one.place.day, one.ours.tokens, one.theirs.tokens) for one in differences if one.place.day > DAY] == [
        (tomorrow, 10, 0)
    ]


def test_a_bill_that_names_no_model_says_how_to_have_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    result = {"object": "organization.costs.result", "amount": {"value": 7}, "line_item": None}
    path.write_text(json.dumps({"data": [{"start_time": 1793793600, "results": [result]}]}))

    with pytest.raises(ConfigError, match="names no model: have it grouped"):
        read_export(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{}",
        '{"data": 1}',
        "day,model\n1,2\n",
        "[[]]",
        "{",
        '{"data": []}',
        "[" * 100_000,
        f"{HEAD}\n1,input\n",
        f"{HEAD}\nNaN,input,1,2026-11-04,m\n",
        f"{HEAD}\n1,prompt,1,2026-11-04,m\n",
        f"{HEAD}\n1,input,1,{10**30},m\n",
        f"{HEAD}\n1,input,1,11/04/2026,m\n",
        f"{HEAD}\n1,input,1,2026-11-04,{'m' * 200_000}\n",
        '{"data": [{"start_time": 1, "results": [{"amount": "Infinity", "currency": "USD", "model": "m"}]}]}',
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_export_is_an_error_that_says_what_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"x\.csv: .*it may be OpenAI's usage"):
        read_export(path)


def test_equal_sides_have_no_difference() -> None:
    account = reconcile(OURS, OURS)

    assert (account.differences, account.calls, account.ours_usd, account.theirs_usd) == (
        [],
        [],
        Decimal("0.0012"),
        Decimal("0.0012"),
    )


def test_another_rate_is_told_from_other_tokens() -> None:
    theirs = [
        Line(DAY, "m", "", "input", 1000, Decimal("0.002")),  # twice the rate
        Line(DAY, "m", "", "output", 150, Decimal("0.0003")),  # 50 tokens more, at 2 a million
    ]

    account = reconcile(OURS, theirs)

    assert [(one.kind, one.cause, one.by_tokens_usd, one.by_rate_usd) for one in account.differences] == [
        ("input", "rate", Decimal(0), Decimal("0.001")),
        ("output", "tokens", Decimal("0.0001"), Decimal(0)),
    ]
    assert account.share("rate") + account.share("tokens") == account.theirs_usd - account.ours_usd


def test_missing_calls_explain_missing_tokens() -> None:
    theirs = [
        Line(DAY, "m", "", "input", 1200, Decimal("0.0012")),
        Line(DAY, "m", "", "output", 120, Decimal("0.00024")),
        Line(DAY, "m", "", "request", calls=12),
    ]

    account = reconcile(OURS, theirs)

    assert [(place.model, ours, bill) for place, ours, bill in account.calls] == [("m", 10, 12)]
    assert account.share("missing calls") == Decimal("0.00024")


def test_a_bill_without_money_is_taken_at_our_rates() -> None:
    account = reconcile(OURS, [Line(DAY, "m", "", "input", 1500), Line(DAY, "m", "", "output", 100)])

    assert account.theirs_usd - account.ours_usd == Decimal("0.0005")
    assert account.share("tokens") == Decimal("0.0005")


def test_a_bill_without_tokens_is_compared_by_money() -> None:
    theirs = [Line(DAY, "m", "", "input", usd=Decimal("0.0015")), Line(DAY, "m", "", "output", usd=Decimal("0.0002"))]

    account = reconcile(OURS, theirs)

    assert [(one.kind, one.cause, one.by_rate_usd) for one in account.differences] == [
        ("input", "rate", Decimal("0.0005"))
    ]


def test_a_dated_name_is_the_same_model_and_other_days_and_models_are_no_business_of_the_bill() -> None:
    others = [
        Line(DAY, "other", "", "input", 5, Decimal(5)),
        Line(DAY - timedelta(days=1), "m", "", "input", 5, Decimal(5)),
    ]
    theirs = [line._replace(model="m-2026-01-31") for line in OURS]

    assert reconcile([*OURS, *others], theirs).differences == []


def test_another_providers_calls_of_the_same_model_are_no_business_of_the_bill() -> None:
    ours = [Line(DAY, "m", "", "input", 100, Decimal(1), provider=name) for name in ("openai", "azure.ai.openai", "")]

    account = reconcile(ours, [Line(DAY, "m", "", "input", 200, Decimal(2), provider="openai")])

    assert (account.differences, account.ours_usd) == ([], Decimal(2))
    assert reconcile(ours, [Line(DAY, "m", "", "input", 300, Decimal(3))]).differences == []


def test_calls_that_the_bill_does_not_have_are_missing() -> None:
    theirs = [Line(DAY, "m", "a", "input", 100, Decimal(1)), Line(DAY, "m", "a", "request", calls=1)]
    ours = [line._replace(key=key) for key in ("a", "b") for line in theirs]

    account = reconcile(ours, theirs)

    assert [(place.key, mine, bill) for place, mine, bill in account.calls] == [("b", 1, 0)]
    assert account.share("missing calls") == -1


def test_what_is_billed_for_no_tokens_is_told_apart_from_rates() -> None:
    account = reconcile(OURS, [*OURS, Line(DAY, "m", "", "other", usd=Decimal("-0.5"))])

    assert [(one.kind, one.cause) for one in account.differences] == [("other", "other charges")]
    assert account.share("other charges") == Decimal("-0.5")


def test_keys_count_where_both_sides_know_them() -> None:
    ours = [Line(DAY, "m", key, "input", 100, Decimal(1)) for key in ("a", "b")]

    known = reconcile(
        ours, [Line(DAY, "m", "a", "input", 100, Decimal(1)), Line(DAY, "m", "b", "input", 300, Decimal(3))]
    )
    foreign = reconcile(ours, [Line(DAY, "m", "sk-1", "input", 200, Decimal(2))])

    assert [(one.place.key, one.cause) for one in known.differences] == [("b", "tokens")]
    assert (foreign.differences, foreign.by_key) == ([], False)


def test_what_is_stored_is_counted_as_a_provider_does(store: Store, project: str) -> None:
    written = Usage(input=10_000, cached=5000, cache_write=4000, cache_write_1h=1000, output=200, reasoning=50)
    insert(
        store,
        project,
        call("anthropic", "claude-sonnet-4-5", written),
        call("openai", "gpt-4o-mini", Usage(input=1000, cached=400, output=100), spanwell__cost_usd="0.5"),
        call("openai", "gpt-4o-mini", Usage(input=10), spanwell__cache="hit", spanwell__cost_usd="0"),
    )
    now = datetime.now(UTC)

    rows = list_billed(store, Selection(project, now - timedelta(days=2), now + timedelta(days=1)))

    claude, mini = sorted(rows, key=lambda row: str(row["model"]))
    assert claude["tokens"] == {
        "input": 1000,
        "cached": 5000,
        "cache_write": 3000,
        "cache_write_1h": 1000,
        "output": 200,
    }
    assert set(claude["costs"]) == set(claude["tokens"])
    # A cost that came as one sum: what the list says by kind, and the rest.
    assert sum(mini["costs"].values()) == Decimal("0.5")
    assert mini["costs"]["cached"] == Decimal("0.00003")  # 400 x 0.075 a million
    assert (mini["calls"], {line.kind for line in read_stored([_as_json(mini)])}) == (
        1,
        {"input", "cached", "output", "other", "request"},
    )


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(row, default=str)))
