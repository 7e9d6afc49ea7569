"""`spanwell reconcile`: a provider's bill beside what is stored, through the running collector."""

import argparse
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from spanwell.cli.console import write
from spanwell.cli.tables import table
from spanwell.settings import Settings
from spanwell_collector.admin.remote import ask
from spanwell_collector.admin.windows import make_window
from spanwell_collector.prices.exports import read_export
from spanwell_collector.prices.reconcile import CAUSES, Account, Difference, Place, read_stored, reconcile

ABOUT: Final = """\
Compare a provider's usage export with what is stored, by day, model and key, and explain the difference by kind of
token: calls that one side misses, other tokens for the same calls, another rate for the same tokens, or charges for no
tokens. A file may be OpenAI's usage or costs, Anthropic's usage or cost report, as JSON or CSV, or a CSV with day,
model, kind, tokens, usd and perhaps key, calls and provider; several are taken together. Exits with 1 above
--tolerance."""
COLUMNS: Final = (
    "day",
    "model",
    "key",
    "kind",
    "cause",
    "tokens",
    "billed",
    "usd",
    "billed usd",
    "by tokens",
    "by rate",
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "reconcile",
        help="compare a provider's usage export with what is stored",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("files", nargs="+", type=Path, metavar="FILE")
    command.add_argument("--project", default="*", help="default: all projects")
    command.add_argument(
        "--tolerance", type=_read_share, default=Decimal("0.01"), metavar="SHARE", help="of the bill; default 0.01"
    )
    command.set_defaults(run=_run)


def _read_share(text: str) -> Decimal:
    try:
        share = Decimal(text)
    except InvalidOperation:
        share = Decimal(-1)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write one from 0 to 1, such as 0.01")
    return share


def _run(options: argparse.Namespace, settings: Settings) -> int:
    theirs = [line for path in options.files for line in read_export(path)]
    days = sorted({line.day for line in theirs})
    ours = read_stored(_ask_days(settings, options.project, days))
    account = reconcile(ours, theirs)
    for line in _describe(account):
        write(line)
    difference = account.theirs_usd - account.ours_usd
    allowed = options.tolerance * abs(account.theirs_usd or account.ours_usd)
    untold = not account.theirs_usd and bool(account.differences)  # all is free, and yet they differ
    return 1 if abs(difference) > allowed or untold else 0


def _ask_days(settings: Settings, project: str, days: list[date]) -> list[Any]:
    """A day at a time, so that no question takes too long."""
    return [
        row
        for day in days
        for row in ask(
            settings, "GET", "/prices/billed", params={"project": project, **make_window(day, day)}, timeout_s=None
        )["rows"]
    ]


def _describe(account: Account) -> list[str]:
    rows = [_show(one) for one in account.differences]
    lines = table(rows, COLUMNS) if rows else []
    lines += [_show_calls(*one) for one in account.calls]
    difference = account.theirs_usd - account.ours_usd
    lines.append(f"billed {account.theirs_usd:.6f} USD, stored {account.ours_usd:.6f} USD: {difference:+.6f} USD")
    lines += [f"  {cause}: {usd:+.6f} USD" for cause in CAUSES if (usd := account.share(cause))]
    return lines


def _show(one: Difference) -> dict[str, Any]:
    return {
        "day": one.place.day,
        "model": one.place.model,
        "key": one.place.key,
        "kind": one.kind,
        "cause": one.cause,
        "tokens": one.ours.tokens,
        "billed": one.theirs.tokens,
        "usd": f"{one.ours.usd or 0:.6f}",
        "billed usd": f"{one.theirs.usd or 0:.6f}",
        "by tokens": f"{one.by_tokens_usd:+.6f}",
        "by rate": f"{one.by_rate_usd:+.6f}",
    }


def _show_calls(place: Place, ours: int, theirs: int) -> str:
    where = " ".join(str(part) for part in place if part)
    return f"{where}: {theirs} calls billed, {ours} stored"
