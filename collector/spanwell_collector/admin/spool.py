"""`spanwell spool`: the dead letters, which are records that the store refused for good, through the collector."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import orjson

from spanwell.cli.console import write
from spanwell.cli.tables import table
from spanwell.errors import SpanwellError
from spanwell.settings import Settings
from spanwell_collector.admin.remote import ask

COLUMNS: Final = ("id", "received", "kind", "project", "spans", "bytes", "reason")
ABOUT: Final = """\
What the collector has accepted and the store then refused for good lies among the dead letters, span by span, while
everything around it is stored. A letter can be looked at, stored again once the cause is gone, or dropped."""
PATH: Final = "/dead-letters"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    spool = commands.add_parser(
        "spool",
        help="list, replay and drop what the collector could not store",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = spool.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="all dead letters, newest first")
    listed.add_argument("--project", default="", help="of this project alone")
    listed.set_defaults(run=_list)
    show = actions.add_parser("show", help="what a letter holds, as JSON")
    show.add_argument("id", help="as `spanwell spool list` shows it")
    show.set_defaults(run=_show)
    replay = actions.add_parser("replay", help="store letters again")
    chosen = replay.add_mutually_exclusive_group(required=True)
    chosen.add_argument("id", nargs="?", help="as `spanwell spool list` shows it")
    chosen.add_argument("--all", action="store_true", help="every letter there is")
    replay.set_defaults(run=_replay)
    drop = actions.add_parser("drop", help="forget a letter for good")
    drop.add_argument("id", help="as `spanwell spool list` shows it")
    drop.set_defaults(run=_drop)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    for line in table(_letters(settings, options.project), COLUMNS):
        write(line)
    return 0


def _show(options: argparse.Namespace, settings: Settings) -> int:
    letter = ask(settings, "GET", f"{PATH}/{options.id}")
    sys.stdout.write(orjson.dumps(letter, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0


def _replay(options: argparse.Namespace, settings: Settings) -> int:
    """1 when one of them was refused again."""
    ids = _each_id(settings) if options.all else [options.id]
    counts = Counter(_is_stored(settings, letter_id) for letter_id in ids)
    write(f"{counts[True]} stored, {counts[False]} refused again")
    return 1 if counts[False] else 0


def _drop(options: argparse.Namespace, settings: Settings) -> int:
    ask(settings, "DELETE", f"{PATH}/{options.id}")
    write("dropped")
    return 0


def _each_id(settings: Settings) -> Iterator[str]:
    """Of more letters than one answer lists, too: what has been stored makes room for the next."""
    seen: set[str] = set()
    while fresh := [letter["id"] for letter in _letters(settings) if letter["id"] not in seen]:
        seen.update(fresh)
        yield from fresh


def _letters(settings: Settings, project: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ask(settings, "GET", PATH, params={"project": project, "limit": 1000})["rows"]
    return rows


def _is_stored(settings: Settings, letter_id: str) -> bool:
    try:
        ask(settings, "POST", f"{PATH}/{letter_id}/replay")
    except SpanwellError as error:
        write(f"{letter_id}: {error}")
        return False
    return True
