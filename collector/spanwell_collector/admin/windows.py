"""Days as an operator writes them: `--from` and `--to`, both included."""

import argparse
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from spanwell.errors import ConfigError

DAY: Final = timedelta(days=1)


def add_days(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="first", type=read_day, metavar="DATE", help="first day, UTC; default: --to")
    parser.add_argument("--to", dest="last", type=read_day, metavar="DATE", help="last day, UTC; default: today")
    parser.add_argument("--project", default="", help="default: SPANWELL_PROJECT")


def read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write one such as 2026-11-01") from None


def list_days(options: argparse.Namespace, today: date) -> list[date]:
    """Every day from the first to the last. Raises ConfigError where the first is the later one."""
    last = options.last or today
    first = options.first or last
    if first > last:
        raise ConfigError(f"--from {first} lies after --to {last}")
    return [first + DAY * index for index in range((last - first).days + 1)]


def make_window(first: date, last: date) -> dict[str, Any]:
    """The parameters of a question about whole days."""
    return {"start": _midnight(first).isoformat(), "end": _midnight(last + DAY).isoformat()}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
