"""An operator's questions about prices, put to a running collector."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spanwell_collector.admin.__main__ import main
from tests.collector.batches import SpanIn, Value, call, make_batch
from tests.collector.conftest import Client, connect
from tests.services import start_collector

PRICES = """
prices:
  - {model: small, provider: lab, input_usd_per_million: 1, output_usd_per_million: 2}
  - {model: steady, provider: lab, input_usd_per_million: 1, output_usd_per_million: 2}
"""
USED: dict[str, Value] = {"gen_ai__usage__input_tokens": 1000, "gen_ai__usage__output_tokens": 100}
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prices")


@pytest.fixture(scope="module")
def own(home: Path) -> Iterator[Client]:
    config = home / "spanwell.yaml"
    config.write_text(PRICES)
    service = start_collector(home / "data", {"SPANWELL_CONFIG": str(config)})
    with connect(service) as client:
        spans = [
            SpanIn(1, attributes=call(gen_ai__provider__name="lab", **USED)),
            SpanIn(2, attributes=call(gen_ai__provider__name="openai", gen_ai__response__model="gpt-5-ultra", **USED)),
        ]
        spans.append(SpanIn(3, attributes=call(gen_ai__provider__name="lab", gen_ai__response__model="steady", **USED)))
        batch = make_batch(spans)
        batch.resource_spans[0].scope_spans[0].scope.name = "somebody"  # the proxy's calls bring their cost
        client.send(batch)
        client.await_count(3)
        yield client
    assert service.stop() == 0


@pytest.fixture
def run(own: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    for name, value in own.service.settings.environ().items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[int, str]:
        code = main(words)
        return code, capsys.readouterr().out

    return run


def test_a_span_costs_what_the_file_says(own: Client) -> None:
    rows = own.ask(f"traces/{1:032x}")["rows"]

    assert rows[0]["cost_usd"] == 0.0012
    assert rows[0]["costs"] == {"input": 0.001, "output": 0.0002}


def test_a_models_price_is_shown_with_its_tiers(run: Run) -> None:
    code, shown = run("prices", "show", "gpt-5")

    assert code == 0
    assert ["openai", "litellm", "1970-01-01"] in [line.split()[:3] for line in shown.splitlines()]
    assert "batch" in shown


def test_prices_are_listed_by_the_million(run: Run) -> None:
    code, shown = run("prices", "list", "--provider", "lab")

    assert code == 0
    assert [line.split() for line in shown.splitlines()] == [
        ["provider", "model", "input", "cached", "cache_write", "output"],
        ["lab", "small", "1", "1", "1", "2"],
        ["lab", "steady", "1", "1", "1", "2"],
    ]


def test_a_model_without_a_price_is_named_with_those_alike(run: Run) -> None:
    code, shown = run("prices", "unpriced", "--from", f"{datetime.now(UTC).date() - timedelta(days=1)}")

    assert code == 0
    assert shown.splitlines()[1].split()[:2] == ["openai", "gpt-5-ultra"]
    assert "gpt-5" in shown.splitlines()[1].split()[6:]
    assert shown.splitlines()[-1] == "1 calls without a price"


def test_a_model_nobody_has_priced_is_said_to_have_none(run: Run) -> None:
    assert run("prices", "show", "nothing") == (
        1,
        "nothing has no price; write one in the section prices of the configuration file\n",
    )


@pytest.fixture
def file(own: Client, home: Path) -> Iterator[Path]:
    yield home / "spanwell.yaml"
    (home / "spanwell.yaml").write_text(PRICES)
    own.http.post("/api/v1/prices/reload")


def test_a_new_price_is_read_and_history_priced_anew(own: Client, file: Path, run: Run) -> None:
    file.write_text(PRICES.replace("per_million: 1,", "per_million: 5,", 1))

    assert run("prices", "reload") == (0, "1 prices changed\n")
    yesterday = str(datetime.now(UTC).date() - timedelta(days=1))
    code, shown = run("reprice", "--from", yesterday, "--model", "small")

    assert code == 0
    assert shown.splitlines()[-1] == "in all      1 calls, 1 changed, 0.001200 -> 0.005200 USD"
    row = own.ask(f"traces/{1:032x}")["rows"][0]
    assert (row["first_cost_usd"], row["cost_usd"]) == (0.0012, 0.0052)


def test_a_bad_price_changes_nothing_and_is_named(own: Client, file: Path) -> None:
    file.write_text(PRICES.replace("per_million: 1,", "per_million: free,"))

    reply = own.http.post("/api/v1/prices/reload")

    assert reply.status_code == 400
    assert "prices[0].input_usd_per_million: 'free' is no price" in reply.json()["error"]["message"]


def test_a_broken_file_stops_pricing_anew_before_it_begins(own: Client, file: Path) -> None:
    file.write_text("gpu_hours: [{model: m}]")

    reply = own.http.post("/api/v1/prices/reprice")

    assert reply.status_code == 400
    assert "gpu_hours[0].usd_per_hour" in reply.json()["error"]["message"]


def test_days_the_wrong_way_round_are_refused(run: Run) -> None:
    assert run("reprice", "--from", "2026-11-05", "--to", "2026-11-01")[0] == 2


def test_rates_are_texts_so_that_none_loses_a_digit(own: Client) -> None:
    (row,) = own.ask("prices", model="small")["rows"]

    assert row["cards"] == [
        {"service_tier": "", "from_tokens": 0, "rates": row["cards"][0]["rates"]},
    ]
    assert row["cards"][0]["rates"]["input"] == "0.000001000000"


def test_a_bill_that_agrees_exits_with_nought(own: Client, run: Run, tmp_path: Path) -> None:
    day = own.ask(f"traces/{1:032x}")["rows"][0]["ts"][:10]
    bill = tmp_path / "bill.csv"
    bill.write_text(
        f"day,model,kind,tokens,usd,calls\n{day},steady,input,1000,0.001,1\n{day},steady,output,100,0.0002,\n"
    )

    code, shown = run("reconcile", str(bill))

    assert (code, shown) == (0, "billed 0.001200 USD, stored 0.001200 USD: +0.000000 USD\n")


def test_a_bill_that_does_not_agree_is_explained(own: Client, run: Run, tmp_path: Path) -> None:
    day = own.ask(f"traces/{1:032x}")["rows"][0]["ts"][:10]
    bill = tmp_path / "bill.csv"
    bill.write_text(
        f"day,model,kind,tokens,usd,calls\n{day},steady,input,2000,0.002,2\n{day},steady,output,100,0.0004,\n"
    )

    code, shown = run("reconcile", str(bill), "--tolerance", "0.1")

    assert code == 1
    assert shown.splitlines()[-4:] == [
        f"{day} steady: 2 calls billed, 1 stored",
        "billed 0.002400 USD, stored 0.001200 USD: +0.001200 USD",
        "  missing calls: +0.001000 USD",
        "  rate: +0.000200 USD",
    ]
    assert run("reconcile", str(bill), "--tolerance", "0.6")[0] == 0
