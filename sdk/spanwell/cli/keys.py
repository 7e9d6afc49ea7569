"""`spanwell keys`: virtual keys of the gateway, through its administration API."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from spanwell.cli.administration import ask_gateway
from spanwell.cli.console import write
from spanwell.settings import Settings

PERIODS = ("hour", "day", "month", "total")
COLUMNS = ("id", "name", "team", "models", "budgets", "blocked", "created_at", "expires_at")

CREATE = """\
Make a key and print it. The gateway keeps only its hash: this is the one time it can be read."""
BUDGET = "what its calls may cost, such as 5/day; the periods are hour, day, month and total (repeat it)"


def add_keys_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`spanwell keys create|list|block|delete` and their arguments."""
    keys = commands.add_parser(
        "keys",
        help="Make, list, block and delete the gateway's virtual keys.",
        description="Manage the gateway's virtual keys, with the master key of the configuration file.",
    )
    _add_places(keys)
    actions = keys.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key and print it, once", description=CREATE)
    create.add_argument("name", help="who uses the key; shown in lists")
    create.add_argument("--team", default="", help="team that its calls count for")
    create.add_argument("--model", action="append", default=[], help="a model it may call (repeat it); all, if none")
    create.add_argument("--budget", action="append", default=[], type=read_budget, metavar="USD/PERIOD", help=BUDGET)
    create.set_defaults(run=_create)
    _add_places(create)
    listing = actions.add_parser("list", help="all keys, without the keys themselves")
    _add_places(listing)
    listing.set_defaults(run=_list)
    for action, text in (("block", "refuse calls with a key"), ("delete", "forget a key")):
        parser = actions.add_parser(action, help=text)
        parser.add_argument("id", help="the key's id, as `spanwell keys list` shows it")
        _add_places(parser)
        parser.set_defaults(run=_block if action == "block" else _delete)


def _add_places(parser: argparse.ArgumentParser) -> None:
    # Suppressed, so that an action that does not name them leaves what stood before it.
    for name, metavar, text in (
        ("--config", "FILE", "the spanwell.yaml to read (SPANWELL_CONFIG)"),
        ("--data", "DIR", "where everything is stored (SPANWELL_DATA)"),
    ):
        parser.add_argument(name, type=Path, metavar=metavar, default=argparse.SUPPRESS, help=text)


def _create(options: argparse.Namespace, settings: Settings) -> int:
    wanted = {"name": options.name, "team": options.team, "models": options.model, "budgets": options.budget}
    made = ask_gateway(settings, "POST", "/admin/keys", wanted)
    write(str(made["key"]))
    return 0


def _list(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    for line in table(ask_gateway(settings, "GET", "/admin/keys")["keys"], COLUMNS):
        write(line)
    return 0


def _block(options: argparse.Namespace, settings: Settings) -> int:
    ask_gateway(settings, "POST", f"/admin/keys/{quote(options.id, safe='')}/block")
    write(f"blocked {options.id}")
    return 0


def _delete(options: argparse.Namespace, settings: Settings) -> int:
    ask_gateway(settings, "DELETE", f"/admin/keys/{quote(options.id, safe='')}")
    write(f"deleted {options.id}")
    return 0


def read_budget(text: str) -> dict[str, str]:
    """`5/day` as the administration API takes it. Raises ArgumentTypeError, which argparse shows."""
    usd, _, period = text.partition("/")
    if period not in PERIODS or not usd.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: write US dollars and a period, such as 5/day or 0.5/hour")
    return {"usd": usd, "period": period}


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Lines of a plain table with the columns that some row has."""
    shown = [column for column in columns if any(show(row.get(column)) for row in rows)] or list(columns)
    cells = [shown, *([show(row.get(column)) for column in shown] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(shown))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def show(value: Any) -> str:
    """A cell: lists as words, a budget as it is given."""
    if isinstance(value, list):
        return " ".join(show(item) for item in value)
    if isinstance(value, dict):
        return f"{value.get('usd')}/{value.get('period')}"
    return {None: "", True: "yes", False: ""}.get(value, str(value))
