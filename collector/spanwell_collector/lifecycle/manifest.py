"""The list that goes with a backup: what it holds, so that a restore can tell whether all of it came back."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from spanwell.errors import StoreError

NAME: Final = "manifest.json"
FORMAT: Final = 1
CHUNK_BYTES: Final = 1 << 20


class Manifest(NamedTuple):
    """`tables` are rows by name; `files` sizes and SHA-256 by path, all below the backup's directory."""

    format: int
    spanwell: str
    engine: str
    created: datetime
    migrations: dict[str, str]
    tables: dict[str, int]
    files: dict[str, tuple[int, str]]


def describe_files(directory: Path) -> dict[str, tuple[int, str]]:
    """Every file below `directory` but the manifest."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != NAME)
    return {str(path.relative_to(directory)): (path.stat().st_size, _digest(path)) for path in paths}


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Last of all: a backup without its manifest was cut short."""
    (directory / NAME).write_bytes(orjson.dumps(manifest._asdict(), option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))


def read_manifest(directory: Path) -> Manifest:
    """Raises StoreError when `directory` is no whole backup, or one of a later Spanwell."""
    try:
        given: dict[str, Any] = orjson.loads((directory / NAME).read_bytes())
        if given.get("format") != FORMAT:
            raise StoreError(f"{directory} has format {given.get('format')}; this Spanwell reads {FORMAT}")
        given["created"] = datetime.fromisoformat(given["created"])
        given["files"] = {path: (size, digest) for path, (size, digest) in given["files"].items()}
        return Manifest(**given)
    except FileNotFoundError:
        raise StoreError(f"{directory} holds no {NAME}: it is no backup, or one that was cut short") from None
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # no checksum stands over the list itself
        raise StoreError(f"{directory / NAME} is damaged: {error!r}") from error


def check_files(directory: Path, manifest: Manifest) -> None:
    """Raises StoreError naming the first file that is not as it was written."""
    for path, (size, digest) in manifest.files.items():
        file = directory / path
        if not file.is_file():
            raise StoreError(f"the backup lacks {path}")
        if file.stat().st_size != size or _digest(file) != digest:
            raise StoreError(f"the backup's file {path} is damaged: its checksum differs")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
