"""`spanwell migrate`: brings a store up to date, or copies it to a server. No collector serves it meanwhile."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import Final

from spanwell.cli.console import write
from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_collector.lifecycle.copy import copy_store
from spanwell_collector.server import hold_lock, open_store
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import find_missing, load_migrations, migrate

ABOUT: Final = """\
Apply the migrations that the store lacks; a collector does the same when it starts. A migration that stopped half-way
is refused, with what to do. With --to, copy an embedded store to a ClickHouse server or cluster (SPANWELL_CLUSTER),
part by part: a copy that was stopped goes on where it was, and every table's rows are counted at the end."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "migrate",
        help="bring the store up to date, or copy it to a ClickHouse server",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="say what is missing, and change nothing")
    parser.add_argument("--to", metavar="DSN", help="copy to this server: clickhouse://USER:PASSWORD@HOST:PORT")
    parser.set_defaults(run=_migrate)


def _migrate(options: argparse.Namespace, settings: Settings) -> int:
    with _open(settings) as store:
        if options.check:
            return _check(store)
        for name in migrate(store, load_migrations()):
            write(f"applied {name}")
        if options.to:
            return _copy(store, options.to, settings)
    write("up to date")
    return 0


def _check(store: Store) -> int:
    missing = find_missing(store, load_migrations())
    for migration in missing:
        write(f"missing {migration.name}")
    write("up to date" if not missing else "run: spanwell migrate")
    return 1 if missing else 0


def _copy(store: Store, dsn: str, settings: Settings) -> int:
    if not store.is_embedded:
        raise ConfigError("--to copies an embedded store: unset SPANWELL_CLICKHOUSE_DSN")
    with contextlib.closing(Store(dsn=dsn, cluster=settings.cluster)) as target:
        migrate(target, load_migrations())
        rows = copy_store(store, target, report=_report)
    write(f"copied {sum(rows.values()):,} rows in {len(rows)} tables: set SPANWELL_CLICKHOUSE_DSN, start the collector")
    return 0


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@contextlib.contextmanager
def _open(settings: Settings) -> Iterator[Store]:
    with hold_lock(settings.data.absolute() / "collector" / "lock"), contextlib.closing(open_store(settings)) as store:
        yield store
