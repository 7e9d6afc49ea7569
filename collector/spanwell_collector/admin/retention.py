"""`spanwell retention`: how long each table keeps its rows, through the running collector."""

import argparse
from typing import Final

from spanwell.cli.console import write
from spanwell.cli.tables import table
from spanwell.settings import Settings
from spanwell_collector.admin.remote import ask

ABOUT: Final = """\
How long data is kept, as the section `retention` of the configuration file says. The collector applies it when it
starts; `apply` has a running one read the file again. Rows whose time is over go in the background."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    retention = commands.add_parser(
        "retention",
        help="show and apply how long each kind of data is kept",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = retention.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("show", help="what is in force").set_defaults(run=_show)
    actions.add_parser("apply", help="put the configuration file in force").set_defaults(run=_apply)


def _show(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    for line in table(ask(settings, "GET", "/retention")["rows"], ("table_name", "rule", "since")):
        write(line)
    return 0


def _apply(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    changed = ask(settings, "POST", "/retention")["changed"]
    for line in table(changed, ("table_name", "rule")) if changed else ["nothing has changed"]:
        write(line)
    return 0
