"""Arguments of the `spanwell` command, and the way from each subcommand to the module that does it."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from spanwell.cli.backends import add_backends_parser
from spanwell.cli.cache import add_cache_parser
from spanwell.cli.console import fail, write
from spanwell.cli.doctor import run_doctor
from spanwell.cli.keys import add_keys_parser
from spanwell.cli.routes import add_routes_parser
from spanwell.cli.up import child_environ, run_up
from spanwell.errors import ConfigError, SpanwellError
from spanwell.settings import Settings

MODULES = {
    "proxy": ("spanwell_proxy", "Run the gateway alone: OpenAI's API in front of your models."),
    "collector": ("spanwell_collector", "Run the collector alone: OTLP in, the store, the query API, the SQL door."),
    "worker": ("spanwell_collector.worker", "Run the worker alone: judges, drift checks, alerts."),
    "dashboard": ("spanwell_dashboard", "Run the dashboard alone."),
}

# An operator's commands: what follows the noun is for the collector's own parser, which has a --help too.
NOUNS = {
    "spool": "List, replay and drop what the collector could not store.",
    "mapping": "Show how a payload maps to columns, and what could not be mapped.",
    "prices": "Show the price table, and which models have no price.",
    "reprice": "Price history again; both figures stay.",
    "reconcile": "Compare a provider's usage export with what is stored.",
    "migrate": "Bring the store up to date, or copy it to a ClickHouse server.",
    "export": "Write spans, traces, scores or texts to a file, and see that it is whole.",
    "backup": "Copy the store, while the collector runs.",
    "restore": "Make a data directory from a backup.",
    "retention": "Show and apply how long each kind of data is kept.",
    "tokens": "Make, list, rotate, block and delete ingest keys and API tokens.",
    "users": "Forget a user: delete everything stored about one.",
}
# Those of the gateway that need more than its administration API.
GATEWAY_NOUNS = {
    "texts": "Make and erase the keys of stored texts that are encrypted, and decrypt such texts.",
    "whatif": "Replay stored calls under other rules: another cache, another route.",
}
GATEWAY_MODULES = {"texts": ("spanwell_proxy.sealing", "cryptography"), "whatif": ("spanwell_proxy.whatif", "numpy")}

ENVIRONMENT = """\
Every process is configured by SPANWELL_* variables (ports, data directory, ClickHouse address and more);
docs/reference/settings.md lists them. --config and --data stand for SPANWELL_CONFIG and SPANWELL_DATA.
Exit codes: 0 done, 1 something failed, 2 a setting or an argument is wrong."""

UP = """\
Start collector, proxy, worker and dashboard, watch over them, and stop them in order on Ctrl-C.

Without a configuration this is the demo: a simulated vLLM, applications that call it, and a day of history,
all labelled as simulated. With --config FILE (or SPANWELL_CONFIG) it serves the models of that file, and
invents nothing."""

DOCTOR = """\
Check versions, configuration, ports, disk, running processes, and the backends of the model list.
Each line says ok, warn or fail, and what to do. Exits with 1 if a line says fail. Prints no secret."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words and words[0] in NOUNS | GATEWAY_NOUNS:
            _run_noun(words)
        options = build_parser().parse_args(words)
        settings = _settings(options)
        return int(options.run(options, settings))
    except SpanwellError as error:
        return fail(str(error), code=2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Every subcommand with its help text, which is the reference of the command line."""
    parser = argparse.ArgumentParser(
        prog="spanwell",
        description="Know what every LLM call cost, how long it took, whether it was any good, and what changed.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add(commands, "up", "Start everything; with no configuration, the demo.", UP).set_defaults(run=_up)
    for name, (_, text) in MODULES.items():
        process = _add(commands, name, text, text)
        process.add_argument("--check", action="store_true", help="validate the settings and the file, start nothing")
        process.set_defaults(run=_run_module)
    _add(commands, "doctor", "Check the installation and say what to do.", DOCTOR).set_defaults(run=_doctor)
    add_keys_parser(commands)
    add_backends_parser(commands)
    add_cache_parser(commands)
    add_routes_parser(commands)
    for name, text in (NOUNS | GATEWAY_NOUNS).items():
        commands.add_parser(name, help=text)
    commands.add_parser("version", help="Print the version.").set_defaults(run=_version)
    return parser


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, description: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_places(parser)
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="the spanwell.yaml to read (SPANWELL_CONFIG)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where everything is stored (SPANWELL_DATA)")


def _settings(options: argparse.Namespace) -> Settings:
    """The environment's settings under the command line's."""
    given = {name: getattr(options, name, None) for name in ("config", "data")}
    return replace(Settings.load(), **{name: value for name, value in given.items() if value is not None})


def _up(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    return run_up(settings)


def _doctor(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    return run_doctor(settings)


def _run_module(options: argparse.Namespace, settings: Settings) -> NoReturn:
    """Become that process, so that signals and exit codes are its own."""
    module, _ = MODULES[options.command]
    command = [sys.executable, "-m", module, *(["--check"] if options.check else [])]
    os.execve(sys.executable, command, child_environ(settings, dict(os.environ)))  # noqa: S606


def _run_noun(words: list[str]) -> NoReturn:
    """Become the service's command. --config and --data may stand anywhere, as with the other subcommands."""
    module, needs = GATEWAY_MODULES.get(words[0], ("spanwell_collector.admin", "chdb"))
    service = "proxy" if words[0] in GATEWAY_MODULES else "collector"
    if find_spec(f"spanwell_{service}") is None or find_spec(needs) is None:
        raise ConfigError(f"spanwell {words[0]} needs the {service}: pip install 'spanwell[{service}]'")
    places = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_places(places)
    options, others = places.parse_known_args(words)
    command = [sys.executable, "-m", module, *(others[1:] if service == "proxy" else others)]
    os.execve(sys.executable, command, child_environ(_settings(options), dict(os.environ)))  # noqa: S606


def _version(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    write(version("spanwell"))
    return 0
