"""`spanwell backup`: has the running collector copy its store, and watches."""

import argparse
import sys
import time
from typing import Any, Final

from spanwell.cli.console import write
from spanwell.errors import SpanwellError
from spanwell.settings import Settings
from spanwell_collector.admin.remote import ask

ABOUT: Final = """\
Copy the store and the small databases beside it to a new directory, while the collector runs. DEST lies within
SPANWELL_BACKUP_DIR (by default the data directory's `backups`): the engine writes nowhere else."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "backup",
        help="copy the store, while the collector runs",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dest", metavar="DEST", help="the new directory")
    parser.add_argument("--compress", action="store_true", help="pack the engine's copy into one .tar.zst")
    parser.set_defaults(run=_back_up)


def _back_up(options: argparse.Namespace, settings: Settings) -> int:
    status = ask(settings, "POST", "/backups", body={"place": options.dest, "compress": options.compress})
    said = ""
    while status["state"] == "running":
        if status["step"] != said:
            said = status["step"]
            sys.stderr.write(f"{said}\n")
        time.sleep(0.2)
        status = ask(settings, "GET", "/backups")
    if status["state"] != "done":
        raise SpanwellError(f"the backup failed: {status.get('error', 'the collector was started anew')}")
    write(_summarize(status))
    return 0


def _summarize(status: dict[str, Any]) -> str:
    return f"{status['place']}: {sum(status['tables'].values()):,} rows in {status['files']:,} files"
