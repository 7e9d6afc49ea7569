"""`python -m spanwell_collector.admin NOUN …`; `spanwell NOUN …` comes here."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final

from spanwell.errors import ConfigError, SpanwellError
from spanwell.settings import Settings
from spanwell_collector.admin import (
    backup,
    export,
    mapping,
    migrate,
    prices,
    reconcile,
    reprice,
    restore,
    retention,
    spool,
    tokens,
    users,
)

NOUNS: Final[tuple[ModuleType, ...]] = (
    backup,
    export,
    mapping,
    migrate,
    prices,
    reconcile,
    reprice,
    restore,
    retention,
    spool,
    tokens,
    users,
)
"""Each has `add_parser(commands)`, which sets `run`: (options, settings) -> exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 something failed, 2 a setting or an argument is wrong."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options, _settings(options)))
    except SpanwellError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Every noun with its help text, which is the reference of the command line."""
    parser = argparse.ArgumentParser(prog="spanwell", description=__doc__)
    parser.add_argument("--config", type=Path, metavar="FILE", help="the spanwell.yaml to read (SPANWELL_CONFIG)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where everything is stored (SPANWELL_DATA)")
    commands = parser.add_subparsers(dest="noun", metavar="NOUN", required=True)
    for noun in NOUNS:
        noun.add_parser(commands)
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    """The environment's settings under the command line's."""
    given = {name: getattr(options, name) for name in ("config", "data")}
    return replace(Settings.load(), **{name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    sys.exit(main())
