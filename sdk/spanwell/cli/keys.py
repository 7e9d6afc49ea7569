"""`spanwell keys`, `teams`, `members` and `audit`: arguments. What they do is in `accounts`."""

import argparse
import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from spanwell.cli import accounts
from spanwell.cli.places import add_places

PERIODS = ("hour", "day", "month", "total")
ROLES = ("viewer", "member", "team_admin", "admin")

BUDGET = "what calls may cost, such as 5/day; the periods are hour, day, month and total (repeat it)"
MODEL = "a model it may call, `gpt-*`, or an access group (repeat it); all, if none"
SOFT = "share of every budget beyond which the model of --downgrade answers"
CREATE_KEY = """\
Make a key and print it. The gateway keeps only its hash: this is the one time it can be read."""
ROTATE = """\
Give a key another secret and print it, once. The old one is good for a while, so that nobody is locked out."""
AUDIT = "Who changed which key, team or user, and when: the newest first."

Parsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Noun(NamedTuple):
    """What a command is about. `path` is the administration API's word for it."""

    name: str
    path: str
    one: str
    help: str


NOUNS = (
    Noun("keys", "keys", "key", "Make, list, change, rotate, block and delete the gateway's virtual keys."),
    Noun("teams", "teams", "team", "Teams of keys, with budgets and limits of their own."),
    Noun("members", "users", "user", "Users of the gateway: their roles, budgets and limits."),
)


def add_keys_parser(commands: Parsers) -> None:
    """`spanwell keys|teams|members create|list|show|change|rotate|block|unblock|delete|spend`, and `spanwell audit`."""
    for noun in NOUNS:
        text = f"{noun.help} With the master key of the configuration file."
        parser = commands.add_parser(noun.name, help=noun.help, description=text)
        add_places(parser)
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        _add_create(actions, noun)
        _add(actions, noun, "list", f"all {noun.name}", accounts.show_all)
        for action, text, run in (
            ("show", f"everything about a {noun.one}", accounts.show_one),
            ("spend", "what it spent, and what is left of its budgets", accounts.show_spending),
            ("block", "refuse its calls", accounts.block),
            ("unblock", "let its calls in again", accounts.unblock),
            ("delete", f"forget a {noun.one}; what it spent stays on record", accounts.delete),
        ):
            _add(actions, noun, action, text, run).add_argument(
                "id", help=f"its id, as `spanwell {noun.name} list` shows"
            )
        _add_change(actions, noun)
        if noun.one == "key":
            _add_rotate(actions, noun)
    audit = commands.add_parser("audit", help=AUDIT, description=AUDIT)
    add_places(audit)
    audit.add_argument("--limit", type=int, default=50, metavar="N", help="how many entries")
    audit.set_defaults(run=accounts.show_audit)


def read_budget(text: str) -> dict[str, str]:
    """`5/day` as the administration API takes it. Raises ArgumentTypeError, which argparse shows."""
    usd, _, period = text.partition("/")
    if period not in PERIODS or not usd.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: write US dollars and a period, such as 5/day or 0.5/hour")
    return {"usd": usd, "period": period}


def read_metadata(text: str) -> dict[str, Any]:
    """A JSON object. Raises ArgumentTypeError."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise argparse.ArgumentTypeError(f'{text!r}: write a JSON object, such as \'{{"purpose": "tests"}}\'')
    return document


def _add_create(actions: Parsers, noun: Noun) -> None:
    is_key = noun.one == "key"
    parser = _add(actions, noun, "create", f"make a {noun.one}", accounts.create, CREATE_KEY if is_key else "")
    parser.add_argument("name", help="who uses the key; shown in lists" if is_key else "its id; keys name it by this")
    _add_fields(parser, noun)


def _add_change(actions: Parsers, noun: Noun) -> None:
    parser = _add(actions, noun, "change", "change what is given; `none` takes a limit away", accounts.change)
    parser.add_argument("id")
    if noun.one == "key":
        parser.add_argument("--name", default=argparse.SUPPRESS, help="who uses the key")
    _add_fields(parser, noun)


def _add_rotate(actions: Parsers, noun: Noun) -> None:
    parser = _add(actions, noun, "rotate", "give a key another secret", accounts.rotate, ROTATE)
    parser.add_argument("id")
    parser.add_argument("--grace", type=float, default=3600, metavar="SECONDS", help="how long the old one is good")


def _add_fields(parser: argparse.ArgumentParser, noun: Noun) -> None:
    def add(flag: str, name: str, text: str, **more: Any) -> None:
        parser.add_argument(flag, dest=name, default=argparse.SUPPRESS, help=text, **more)

    if noun.one != "team":
        add("--team", "team", "team that it belongs to")
    if noun.one == "key":
        add("--user", "user", "user whose key it is")
    if noun.one == "user":
        add("--role", "role", "what it may do here", choices=ROLES)
    add(
        "--model",
        "models",
        "a model it may call, `gpt-*`, or an access group (repeat it); all, if none",
        action="append",
    )
    add("--budget", "budgets", BUDGET, action="append", type=read_budget, metavar="USD/PERIOD")
    add("--soft", "soft", SOFT, type=float, metavar="SHARE")
    add("--downgrade", "downgrade", "the model that answers then", metavar="MODEL")
    for flag, text in (("rpm", "requests a minute"), ("tpm", "tokens a minute"), ("concurrency", "calls at once")):
        add(f"--{flag}", flag, text, type=_read_count, metavar="N")
    add("--expires", "expires_at", "when it ends, such as 2027-01-01T00:00:00Z", metavar="MOMENT")
    add("--metadata", "metadata", "a JSON object to keep with it", type=read_metadata, metavar="JSON")


def _read_count(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: write a whole number, or none")
    return int(text)


def _add(
    actions: Parsers, noun: Noun, action: str, text: str, run: Callable[..., int], description: str = ""
) -> argparse.ArgumentParser:
    parser = actions.add_parser(action, help=text, description=description or None)
    add_places(parser)
    parser.set_defaults(run=run, path=noun.path)
    return parser
