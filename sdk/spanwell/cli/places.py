"""`--config` and `--data`, which stand with every command that asks a running service."""

import argparse
from pathlib import Path


def add_places(parser: argparse.ArgumentParser) -> None:
    """Suppressed, so that an action that does not name them leaves what stood before it."""
    for name, metavar, text in (
        ("--config", "FILE", "the spanwell.yaml to read (SPANWELL_CONFIG)"),
        ("--data", "DIR", "where everything is stored (SPANWELL_DATA)"),
    ):
        parser.add_argument(name, type=Path, metavar=metavar, default=argparse.SUPPRESS, help=text)
