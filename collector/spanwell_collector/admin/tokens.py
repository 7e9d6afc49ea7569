"""`spanwell tokens`: ingest keys and API tokens, through the running collector."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from spanwell.cli.console import write
from spanwell.cli.tables import table
from spanwell.settings import Settings
from spanwell_collector.access.rights import ROLES
from spanwell_collector.admin.remote import ask

COLUMNS: Final = ("id", "name", "role", "project", "created", "expires", "blocked")
ABOUT: Final = """\
Ingest keys and API tokens. The collector keeps only a hash of each: a secret is shown once, when it is made.
Roles: ingest sends OTLP; viewer reads; editor also writes scores, drift checks and alert events; admin may all."""
ACTIONS: Final = {
    "rotate": "give a token a new secret and print it; the old one stops at once",
    "block": "refuse a token until it is unblocked",
    "unblock": "take a blocked token again",
    "delete": "forget a token for good",
}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tokens = commands.add_parser(
        "tokens",
        help="make, list, rotate, block and delete ingest keys and API tokens",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = tokens.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a token and print its secret, once")
    create.add_argument("name", help="who uses it; shown in lists")
    create.add_argument("--role", choices=ROLES, required=True)
    create.add_argument("--project", default="*", help="the one project it reads and writes; default: all")
    create.add_argument("--days", type=int, metavar="N", help="it expires after N days; default: never")
    create.set_defaults(run=_create)
    actions.add_parser("list", help="all tokens, without their secrets").set_defaults(run=_list)
    for action, text in ACTIONS.items():
        parser = actions.add_parser(action, help=text)
        parser.add_argument("id", help="as `spanwell tokens list` shows it")
        parser.set_defaults(run=_change)


def _create(options: argparse.Namespace, settings: Settings) -> int:
    expires = datetime.now(UTC) + timedelta(days=options.days) if options.days is not None else None
    wanted = {
        "name": options.name,
        "role": options.role,
        "project": options.project,
        "expires": expires.isoformat() if expires else None,
    }
    write(str(ask(settings, "POST", "/tokens", body=wanted)["secret"]))
    return 0


def _list(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    rows: list[dict[str, Any]] = ask(settings, "GET", "/tokens")["rows"]
    for line in table(rows, COLUMNS):
        write(line)
    return 0


def _change(options: argparse.Namespace, settings: Settings) -> int:
    deleting = options.action == "delete"
    path = f"/tokens/{options.id}" if deleting else f"/tokens/{options.id}/{options.action}"
    answer = ask(settings, "DELETE" if deleting else "POST", path)
    write(str(answer["secret"]) if "secret" in answer else "ok")
    return 0
