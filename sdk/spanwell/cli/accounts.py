"""What `spanwell keys`, `teams`, `members` and `audit` do, through the gateway's administration API."""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from spanwell.cli.administration import ask_gateway
from spanwell.cli.console import write
from spanwell.cli.tables import table
from spanwell.errors import ConfigError
from spanwell.settings import Settings

COLUMNS = (
    *("id", "name", "team", "user", "role", "models", "budgets", "rpm", "tpm", "concurrency"),
    *("blocked", "created_at", "expires_at"),
)
FIELDS = (
    *("name", "team", "user", "role", "models", "budgets", "rpm", "tpm", "concurrency"),
    *("expires_at", "metadata"),
)
SPENDING = ("period", "spent_usd", "usd", "left_usd", "resets_at")
AUDIT = ("at", "who", "user", "action", "kind", "id", "changed")


def create(options: argparse.Namespace, settings: Settings) -> int:
    """Print the new key, or the id of what is no key."""
    made = ask_gateway(settings, "POST", f"/admin/{options.path}", _read_fields(options))
    write(str(made.get("key") or made["id"]))
    return 0


def change(options: argparse.Namespace, settings: Settings) -> int:
    wanted = _read_fields(options)
    if not wanted:
        raise ConfigError("say what to change, such as --budget 5/day")
    _write_document(ask_gateway(settings, "PATCH", _path(options), wanted))
    return 0


def show_all(options: argparse.Namespace, settings: Settings) -> int:
    for line in table(ask_gateway(settings, "GET", f"/admin/{options.path}")[options.path], COLUMNS):
        write(line)
    return 0


def show_one(options: argparse.Namespace, settings: Settings) -> int:
    _write_document(ask_gateway(settings, "GET", _path(options)))
    return 0


def show_spending(options: argparse.Namespace, settings: Settings) -> int:
    """Every period, with its budget where it has one."""
    told = ask_gateway(settings, "GET", _path(options, "/spend"))
    budgets = {budget["period"]: budget for budget in told["budgets"]}
    rows = [
        {"period": period, "spent_usd": spent} | budgets.get(period, {}) for period, spent in told["spent_usd"].items()
    ]
    for line in table(rows, SPENDING):
        write(line)
    return 0


def rotate(options: argparse.Namespace, settings: Settings) -> int:
    made = ask_gateway(settings, "POST", _path(options, "/rotate"), {"grace_seconds": options.grace})
    write(str(made["key"]))
    return 0


def block(options: argparse.Namespace, settings: Settings) -> int:
    ask_gateway(settings, "POST", _path(options, "/block"))
    write(f"blocked {options.id}")
    return 0


def unblock(options: argparse.Namespace, settings: Settings) -> int:
    ask_gateway(settings, "POST", _path(options, "/unblock"))
    write(f"unblocked {options.id}")
    return 0


def delete(options: argparse.Namespace, settings: Settings) -> int:
    ask_gateway(settings, "DELETE", _path(options))
    write(f"deleted {options.id}")
    return 0


def show_audit(options: argparse.Namespace, settings: Settings) -> int:
    entries = ask_gateway(settings, "GET", f"/admin/audit?limit={options.limit}")["audit"]
    for line in table([entry | {"changed": " ".join(_list_changes(entry))} for entry in entries], AUDIT):
        write(line)
    return 0


def _list_changes(entry: Mapping[str, Any]) -> Iterator[str]:
    before, after = entry.get("before"), entry.get("after")
    if before and after:
        yield from (name for name in after if before.get(name) != after[name])


def _read_fields(options: argparse.Namespace) -> dict[str, Any]:
    """What was given. A soft share and its model hold for every budget that is given with them."""
    given = vars(options)
    wanted = {name: given[name] for name in FIELDS if name in given}
    softly = {name: given[name] for name in ("soft", "downgrade") if name in given}
    if softly and "budgets" not in wanted:
        raise ConfigError("--soft and --downgrade belong to budgets: name those with --budget too")
    if softly:
        wanted["budgets"] = [budget | softly for budget in wanted["budgets"]]
    return wanted


def _path(options: argparse.Namespace, action: str = "") -> str:
    return f"/admin/{options.path}/{quote(options.id, safe='')}{action}"


def _write_document(document: Mapping[str, Any]) -> None:
    write(json.dumps(document, indent=2, ensure_ascii=False))
