"""`spanwell prices`: what models cost, and which have no price, through the running collector."""

import argparse
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from spanwell.cli.console import write
from spanwell.cli.tables import table
from spanwell.pricing import write_usd
from spanwell.rates import KINDS
from spanwell.settings import Settings
from spanwell_collector.admin.remote import ask
from spanwell_collector.admin.windows import add_days, list_days, make_window

ABOUT: Final = """\
What tokens cost: LiteLLM's price map, under the sections `prices` and `model_list` of the configuration file.
Rates are US dollars a million tokens; `request` is US dollars a call. A kind that is not shown is free."""
SHORT: Final = ("input", "cached", "cache_write", "output", "request")
MILLION: Final = 1_000_000


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    prices = commands.add_parser(
        "prices",
        help="show the price table, and which models have no price",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = prices.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="the standard price of every model")
    listed.add_argument("--provider", default="", help="only those of one provider, such as openai")
    listed.set_defaults(run=_list)
    shown = actions.add_parser("show", help="all of one model's prices: tiers, long inputs, history")
    shown.add_argument("model")
    shown.set_defaults(run=_show)
    unpriced = actions.add_parser("unpriced", help="models of calls that have no cost")
    add_days(unpriced)
    unpriced.set_defaults(run=_unpriced)
    actions.add_parser("reload", help="read the price map and the configuration file again").set_defaults(run=_reload)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    rows = ask(settings, "GET", "/prices", params={"provider": options.provider, "limit": 20_000})["rows"]
    lines = [{"provider": row["provider"], "model": row["model"], **_rates(row["cards"][0], SHORT)} for row in rows]
    for line in table(lines, ("provider", "model", *SHORT)):
        write(line)
    return 0


def _show(options: argparse.Namespace, settings: Settings) -> int:
    rows = ask(settings, "GET", "/prices", params={"model": options.model, "history": True})["rows"]
    if not rows:
        write(f"{options.model} has no price; write one in the section prices of the configuration file")
        return 1
    lines = [{**_describe(row, card), **_rates(card, KINDS)} for row in rows for card in row["cards"]]
    for line in table(lines, ("provider", "source", "from", "version", "tier", "tokens", *KINDS)):
        write(line)
    return 0


def _unpriced(options: argparse.Namespace, settings: Settings) -> int:
    days = list_days(options, datetime.now(UTC).date())
    params = {"project": options.project or settings.project, **make_window(days[0], days[-1])}
    rows = ask(settings, "GET", "/prices/unpriced", params=params)["rows"]
    for line in table(rows, ("provider", "model", "request_model", "calls", "input", "output", "near")) if rows else ():
        write(line)
    write(f"{sum(row['calls'] for row in rows)} calls without a price")
    return 0


def _reload(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    write(f"{ask(settings, 'POST', '/prices/reload', timeout_s=None)['changed']} prices changed")
    return 0


def _describe(row: dict[str, Any], card: dict[str, Any]) -> dict[str, Any]:
    return {
        "provider": row["provider"] or "(none)",
        "source": row["source"],
        "from": row["valid_from"][:10],
        "version": row["version"],
        "tier": card["service_tier"] or "standard",
        "tokens": f"from {card['from_tokens']}" if card["from_tokens"] else "",
    }


def _rates(card: dict[str, Any], kinds: tuple[str, ...]) -> dict[str, str]:
    return {kind: _per_million(kind, rate) for kind, rate in card["rates"].items() if kind in kinds}


def _per_million(kind: str, rate: str) -> str:
    usd = Decimal(rate) * (1 if kind == "request" else MILLION)
    return write_usd(usd)
