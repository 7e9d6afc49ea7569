"""`spanwell backends`: the servers of models behind the gateway, through its administration API."""

import argparse
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from spanwell.cli.administration import ask_gateway
from spanwell.cli.console import write
from spanwell.cli.places import add_places
from spanwell.cli.tables import table
from spanwell.errors import SpanwellError
from spanwell.settings import Settings

COLUMNS = ("name", "status", "models", "running", "waiting", "kv_cache", "url", "origin", "error")
LOOK_EVERY_S = 0.5
SETTLED_S = 1.0  # until every worker has told how many calls it has there

DRAIN = "Send no new calls to a backend. Those that run end as they would; --wait returns when the last one has."
ADD = """\
Add a server of models while the gateway runs. It is asked what it serves, and gets calls as soon as it is ready.
It is remembered over restarts; a backend that stays for good is better written into the configuration file."""


def add_backends_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`spanwell backends list|add|drain|resume|remove` and their arguments."""
    backends = commands.add_parser(
        "backends",
        help="List, add, drain, resume and remove servers of models, while the gateway runs.",
        description="Manage the servers of models behind the gateway, with the master key of the configuration file.",
    )
    add_places(backends)
    actions = backends.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_action(actions, "list", "all backends, how they are and what they serve").set_defaults(run=_list)
    add = _add_action(actions, "add", "add one", ADD)
    add.add_argument("url", help="its address, such as http://gpu-1:8000")
    add.add_argument("--name", help="what to call it; its host and port, if left out")
    add.add_argument("--model", action="append", default=[], help="a model to take from it (repeat it); all, if none")
    add.add_argument("--weight", type=float, default=1.0, help="its share of the calls beside others of the same model")
    add.add_argument("--api-key", default="", metavar="KEY", help="the key it asks for")
    add.set_defaults(run=_add)
    drain = _add_action(actions, "drain", "send it no new calls", DRAIN)
    drain.add_argument("name")
    drain.add_argument("--wait", type=float, metavar="SECONDS", help="until its last call has ended, for so long")
    drain.set_defaults(run=_drain)
    for action, text in (("resume", "send it calls again"), ("remove", "forget one that was added")):
        parser = _add_action(actions, action, text)
        parser.add_argument("name")
        parser.set_defaults(run=_resume if action == "resume" else _remove)


def _add_action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, description: str = ""
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=description or None)
    add_places(parser)
    return parser


def _list(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    for line in table([_flatten(one) for one in _find_all(settings)], COLUMNS):
        write(line)
    return 0


def _add(options: argparse.Namespace, settings: Settings) -> int:
    wanted = {"url": options.url, "weight": options.weight, "models": options.model or "auto"}
    if options.name:
        wanted["name"] = options.name
    if options.api_key:
        wanted["api_key"] = options.api_key
    made = ask_gateway(settings, "POST", "/admin/backends", wanted)
    write(f"added {made['name']}: {made['error'] or ' '.join(made['models'])}")
    return 0


def _drain(options: argparse.Namespace, settings: Settings) -> int:
    ask_gateway(settings, "POST", _path(options.name, "/drain"))
    if options.wait is not None:
        _await_end(options.name, options.wait, settings)
    write(f"drained {options.name}")
    return 0


def _resume(options: argparse.Namespace, settings: Settings) -> int:
    ask_gateway(settings, "POST", _path(options.name, "/resume"))
    write(f"resumed {options.name}")
    return 0


def _remove(options: argparse.Namespace, settings: Settings) -> int:
    ask_gateway(settings, "DELETE", _path(options.name))
    write(f"removed {options.name}")
    return 0


def _await_end(name: str, wait_s: float, settings: Settings) -> None:
    """Raises SpanwellError where calls still run after `wait_s`."""
    time.sleep(SETTLED_S)
    deadline = time.monotonic() + wait_s
    while running := next((one["running"] for one in _find_all(settings) if one["name"] == name), 0):
        if time.monotonic() >= deadline:
            raise SpanwellError(f"{running} calls still run at {name}; it gets no new ones")
        time.sleep(LOOK_EVERY_S)


def _find_all(settings: Settings) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = ask_gateway(settings, "GET", "/admin/backends")["backends"]
    return listed


def _flatten(one: Mapping[str, Any]) -> dict[str, Any]:
    load = one.get("load") or {}
    use = load.get("cache_use")
    told = {"running": str(one["running"]), "waiting": str(load["waiting"]) if load else None}
    return {**one, **told, "kv_cache": None if use is None else f"{use:.0%}"}


def _path(name: str, action: str = "") -> str:
    return f"/admin/backends/{quote(name, safe='')}{action}"
