"""`spanwell texts`: the keys that stored texts are sealed with."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spanwell.cli.console import fail, write
from spanwell.errors import ConfigError, SpanwellError
from spanwell.settings import Settings
from spanwell_proxy.sealing.keeping import unseal_all, users_path
from spanwell_proxy.sealing.project import erase_key, key_path, make_key, read_key
from spanwell_proxy.sealing.users import UserKeys

DECRYPT = """\
Read whatever was exported, a text at a time or a file of it, and write it with each sealed text in clear:
  spanwell export texts --format jsonl | spanwell texts decrypt"""
ERASE = """\
Erase a user's key: what was stored of that user can be read by nobody any more, backups of the store included.
With --project the project's own key goes, and with it every text; a copy of the key file would undo that."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options, Settings.load()))
    except SpanwellError as error:
        return fail(str(error), code=2 if isinstance(error, ConfigError) else 1)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="spanwell texts", description="Keys of stored texts that are encrypted.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("keygen", help="make the project's key; it is never overwritten").set_defaults(run=_keygen)
    raw = argparse.RawDescriptionHelpFormatter
    decrypt = actions.add_parser("decrypt", help="show sealed texts", description=DECRYPT, formatter_class=raw)
    decrypt.add_argument("file", nargs="?", type=Path, help="what to read; standard input, if none")
    decrypt.set_defaults(run=_decrypt)
    erase = actions.add_parser("erase-key", help="make texts unreadable", description=ERASE, formatter_class=raw)
    whose = erase.add_mutually_exclusive_group(required=True)
    whose.add_argument("user", nargs="?", help="id of the user, as the calls name it")
    whose.add_argument("--project", action="store_true", help="the project's key")
    erase.set_defaults(run=_erase)
    return parser


def _keygen(_: argparse.Namespace, settings: Settings) -> int:
    path = key_path(settings)
    if path.exists():
        raise ConfigError(f"{path} exists, and texts may be sealed with it; move it away first")
    make_key(path)
    write(str(path))
    return 0


def _decrypt(options: argparse.Namespace, settings: Settings) -> int:
    project = read_key(key_path(settings))
    users = UserKeys(users_path(settings), project) if users_path(settings).exists() else None
    lost = 0
    with options.file.open(encoding="utf-8") if options.file else sys.stdin as lines:
        for line in lines:
            text, unread = unseal_all(line, project, users)
            sys.stdout.write(text)
            lost += unread
    if lost:
        raise SpanwellError(f"{lost} texts cannot be read: their keys were erased, or are another project's")
    return 0


def _erase(options: argparse.Namespace, settings: Settings) -> int:
    path = key_path(settings)
    if options.project:
        erase_key(path)
        write(f"erased {path}")
        return 0
    users = UserKeys(users_path(settings), read_key(path))
    if not users.erase(options.user):
        raise SpanwellError("this user has no key: nothing of that user was sealed, or the key was erased before")
    write("erased the user's key")
    return 0


if __name__ == "__main__":
    sys.exit(main())
