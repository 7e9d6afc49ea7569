"""`spanwell users`: forgetting a user, through the running collector."""

import argparse
from typing import Any, Final
from urllib.parse import quote

from spanwell.cli.console import write
from spanwell.settings import Settings
from spanwell_collector.admin.remote import ask

ABOUT: Final = """\
Delete everything stored about a user: spans, and of their traces those that name no user; their texts and scores;
the user's own sums; measurements, alerts and dead letters that name the user. It returns when the bytes are gone from
the disk, and names what it could not tell to be the user's."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    users = commands.add_parser("users", help="forget a user", description="What is stored about users.")
    actions = users.add_subparsers(dest="action", metavar="ACTION", required=True)
    forget = actions.add_parser(
        "forget",
        help="delete everything stored about a user",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    forget.add_argument("user", help="the user's id, as the applications send it")
    forget.add_argument("--project", default="", help="in this project alone; default: in all")
    forget.add_argument("--dry-run", action="store_true", help="count, and delete nothing")
    forget.set_defaults(run=_forget)


def _forget(options: argparse.Namespace, settings: Settings) -> int:
    given = {"project": options.project, "dry_run": str(options.dry_run).lower()}
    params = {name: value for name, value in given.items() if value}
    name = quote(options.user, safe="").replace(".", "%2E")  # a path of dots would lead elsewhere
    # No limit of time: the engine rewrites every part that holds a row of the user.
    answer = ask(settings, "DELETE", f"/users/{name}", params=params, timeout_s=None)
    for line in report(answer, dry_run=options.dry_run):
        write(line)
    return 0


def report(answer: dict[str, Any], *, dry_run: bool) -> list[str]:
    """What was done, in lines."""
    word = "found" if dry_run else "deleted"
    lines = [f"{table}: {word} {rows}" for table, rows in answer["rows"].items() if rows]
    return [*(lines or [f"{word} nothing"]), *(f"note: {left}" for left in answer["left"])]
