"""`spanwell cache`: what the gateway's caches hold, and how to empty them, through its administration API."""

import argparse
from typing import Any

from spanwell.cli.administration import ask_gateway
from spanwell.cli.console import write
from spanwell.cli.places import add_places
from spanwell.cli.tables import table
from spanwell.settings import Settings

COLUMNS = ("model", "checked", "different", "false_hit_rate", "interval_95", "state")


def add_cache_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`spanwell cache show|purge|reset` and their arguments."""
    text = "Show the gateway's caches, empty them, or trust semantic hits again."
    cache = commands.add_parser("cache", help=text, description=text)
    add_places(cache)
    actions = cache.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="what is kept, and how often semantic hits were wrong")
    show.set_defaults(run=_show)
    purge = actions.add_parser("purge", help="let no answer count that was kept before")
    what = purge.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", default="", help="answers to this model name")
    what.add_argument("--key", default="", help="answers to calls of this key's id")
    what.add_argument("--all", action="store_true", help="all answers")
    purge.set_defaults(run=_purge)
    reset = actions.add_parser("reset", help="switch a model's semantic hits on again, and count anew")
    reset.add_argument("model")
    reset.set_defaults(run=_reset)
    for parser in (show, purge, reset):
        add_places(parser)


def _show(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    told = ask_gateway(settings, "GET", "/admin/cache")
    write(f"{told['answers']:,} answers, {told['in_memory']:,} in memory; kept {told['ttl_seconds']:g} s")
    if semantic := told["semantic"]:
        apart = ", ".join(f"{count} by {reason}" for reason, count in sorted(semantic["kept_apart"].items())) or "none"
        write(f"{semantic['questions']:,} questions by meaning; near misses kept apart: {apart}")
        for line in table([_row(name, facts) for name, facts in semantic["models"].items()], COLUMNS):
            write(line)
    return 0


def _row(model: str, facts: dict[str, Any]) -> dict[str, Any]:
    rate, (low, high) = facts["false_hit_rate"], facts["interval_95"]
    return {
        "model": model,
        "checked": facts["checked"],
        "different": facts["different"],
        "false_hit_rate": "" if rate is None else f"{rate:.1%}",
        "interval_95": f"{low:.1%} to {high:.1%}" if facts["checked"] else "",
        "state": "off: too often wrong" if facts["is_off"] else "on",
    }


def _purge(options: argparse.Namespace, settings: Settings) -> int:
    wanted = {"model": options.model, "key": options.key, "all": options.all}
    write(f"purged {ask_gateway(settings, 'POST', '/admin/cache/purge', wanted)['purged']}")
    return 0


def _reset(options: argparse.Namespace, settings: Settings) -> int:
    ask_gateway(settings, "POST", "/admin/cache/reset", {"model": options.model})
    write(f"semantic hits of {options.model} count again")
    return 0
