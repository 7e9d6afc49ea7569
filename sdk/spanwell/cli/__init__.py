"""The `spanwell` command: one module a subcommand, and `main`, which reads the arguments."""

from spanwell.cli.main import main

__all__ = ["main"]
