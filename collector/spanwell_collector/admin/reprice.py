"""`spanwell reprice`: prices history anew, a day at a time, through the running collector."""

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from spanwell.cli.console import write
from spanwell.settings import Settings
from spanwell_collector.admin.remote import ask
from spanwell_collector.admin.windows import add_days, list_days, make_window

ABOUT: Final = """\
Price calls anew by what the price table says now. It takes the calls that the store priced, or found no price for;
--all also those that came with a cost, such as the gateway's. Each keeps its first figure in first_cost_usd. The
hours of processors that are paid by the hour are spread anew too. A day that is done stays done."""
COUNTS: Final = ("calls", "changed", "unpriced")
MONEY: Final = ("before_usd", "after_usd")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    reprice = commands.add_parser(
        "reprice",
        help="price history again; both figures stay",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_days(reprice)
    reprice.add_argument("--model", default="", help="only the calls that this model answered")
    reprice.add_argument("--all", action="store_true", help="also calls that came with a cost of their own")
    reprice.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
    reprice.set_defaults(run=_run)


def _run(options: argparse.Namespace, settings: Settings) -> int:
    asked = {"project": options.project or settings.project, "model": options.model}
    asked |= {"reported": options.all, "dry_run": options.dry_run}
    whole = dict.fromkeys((*COUNTS, *MONEY), Decimal(0))
    for day in list_days(options, datetime.now(UTC).date()):
        outcome = ask(settings, "POST", "/prices/reprice", params={**asked, **make_window(day, day)}, timeout_s=None)
        whole = {name: total + Decimal(outcome[name]) for name, total in whole.items()}
        write(_describe(str(day), outcome))
    write(_describe("in all", whole))
    return 0


def _describe(what: str, outcome: Mapping[str, Any]) -> str:
    before, after = (Decimal(outcome[name]) for name in MONEY)
    told = f"{what:10}  {outcome['calls']} calls, {outcome['changed']} changed, {before:.6f} -> {after:.6f} USD"
    return f"{told}, {outcome['unpriced']} without a price" if outcome["unpriced"] else told
