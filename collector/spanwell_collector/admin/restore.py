"""`spanwell restore`: makes a new data directory of a backup; no collector serves it meanwhile."""

import argparse
import sys
from pathlib import Path
from typing import Final

from spanwell.cli.console import write
from spanwell.settings import Settings
from spanwell_collector.lifecycle.restore import restore
from spanwell_collector.server import hold_lock

ABOUT: Final = """\
Make the data directory (--data, SPANWELL_DATA) of a backup. Every file's checksum is verified before, every table's
rows are counted after; the directory must be empty, and is left empty when something is amiss."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "restore",
        help="make a data directory of a backup",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", type=Path, help="the directory that `spanwell backup` made")
    parser.set_defaults(run=_restore)


def _restore(options: argparse.Namespace, settings: Settings) -> int:
    data = settings.data.absolute()
    with hold_lock(data / "collector" / "lock"):
        manifest = restore(options.source, data, report=_report)
    write(f"{data}: {sum(manifest.tables.values()):,} rows of {manifest.created:%Y-%m-%d %H:%M:%S} UTC")
    return 0


def _report(step: str) -> None:
    sys.stderr.write(f"{step}\n")
