"""`spanwell export`: writes what the collector stores to a file, and sees to it that the file is whole."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import httpx
import pyarrow.parquet as pq

from spanwell.cli.console import write
from spanwell.errors import ConfigError, SpanwellError
from spanwell.settings import Settings
from spanwell_collector.admin.remote import explain
from spanwell_collector.queries.export import FORMATS, WHATS

ABOUT: Final = """\
Write what is stored of a window to FILE: spans, traces, scores or texts. The end of FILE's name says the format:
.parquet, .csv or .jsonl. Cells hold exactly what was stored: do not open a CSV of strangers' texts in a spreadsheet,
which would run what looks like a formula."""
ROWS: Final = "x-spanwell-rows"
SILENCE_SECONDS: Final = 60.0
TOLD_BYTES: Final = 8 << 20


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "export",
        help="write what is stored to a file",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=WHATS, help="what to write")
    parser.add_argument("file", type=Path, metavar="FILE", help="the file, which must not exist")
    parser.add_argument("--start", metavar="TIME", help="ISO 8601, with its zone; default: an hour before --end")
    parser.add_argument("--end", metavar="TIME", help="ISO 8601, with its zone; default: now")
    parser.add_argument("--project", default="", help="default: SPANWELL_PROJECT")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        type=read_filter,
        metavar="FIELD=VALUE",
        help="what spans have to be, as in the query API: 'model=small', 'model!=large', 'duration_ms>=250'",
    )
    parser.set_defaults(run=_export)


def read_filter(text: str) -> tuple[str, str]:
    """The name and value of a query string's parameter."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no filter; write one such as model=small")
    return name, value


class Counter:
    """Counts the rows of CSV or JSON lines that go by. Within quotes a line may end without ending the row."""

    def __init__(self, format: str) -> None:
        self._quotes = format == "csv"
        self._inside = False
        self._lines = 0

    def see(self, piece: bytes) -> None:
        if not self._quotes:
            self._lines += piece.count(b"\n")
            return
        for index, part in enumerate(piece.split(b'"')):
            self._inside ^= index > 0
            if not self._inside:
                self._lines += part.count(b"\n")

    @property
    def rows(self) -> int:
        return self._lines - self._quotes  # the first line of a CSV has the names


def _export(options: argparse.Namespace, settings: Settings) -> int:
    format = options.file.suffix.removeprefix(".")
    if format not in FORMATS:
        allowed = ", ".join(f".{name}" for name in FORMATS)
        raise ConfigError(f"{options.file}: its name has to end in one of {allowed}")
    if options.file.exists():
        raise ConfigError(f"{options.file} exists already")
    part = options.file.with_name(f"{options.file.name}.part")
    try:
        promised, counted = _download(settings, _question(options, format, settings), part, format)
        _compare(promised, counted)
        part.rename(options.file)
    finally:
        part.unlink(missing_ok=True)
    write(f"{options.file}: {promised:,} rows, {options.file.stat().st_size:,} bytes")
    return 0


def _question(options: argparse.Namespace, format: str, settings: Settings) -> list[tuple[str, str]]:
    named = {"start": options.start, "end": options.end, "project": options.project or settings.project}
    given = [(name, value) for name, value in named.items() if value]
    return [("what", options.what), ("format", format), *given, *options.filter]


def _download(settings: Settings, question: list[tuple[str, str]], part: Path, format: str) -> tuple[int, int]:
    """The rows that were promised, and those that came."""
    try:
        with _ask(settings, question) as reply, part.open("wb") as file:
            promised = int(reply.headers[ROWS])
            counter = Counter(format)
            _receive(reply, file, counter, promised)
    except httpx.HTTPError as error:
        raise SpanwellError(f"the export broke off ({error}): nothing was kept") from error
    if format != "parquet":
        return promised, counter.rows
    return promised, int(pq.read_metadata(part).num_rows)


@contextmanager
def _ask(settings: Settings, question: list[tuple[str, str]]) -> Iterator[httpx.Response]:
    headers = {"authorization": f"Bearer {settings.api_token}"} if settings.api_token else {}
    url = f"{settings.collector_url}/api/v1/export"
    with (
        httpx.Client(timeout=SILENCE_SECONDS, trust_env=False, headers=headers) as client,
        client.stream("GET", url, params=tuple(question)) as reply,
    ):
        if reply.is_error:
            reply.read()
            raise SpanwellError(explain(reply))
        yield reply


def _receive(reply: httpx.Response, file: BinaryIO, counter: Counter, promised: int) -> None:
    size = told = 0
    for piece in reply.iter_bytes():
        file.write(piece)
        counter.see(piece)
        size += len(piece)
        if size - told >= TOLD_BYTES:
            told = size
            sys.stderr.write(f"\r{size:,} bytes of {promised:,} rows")
    if told:
        sys.stderr.write("\n")


def _compare(promised: int, counted: Any) -> None:
    if promised != counted:
        raise SpanwellError(f"{counted:,} of {promised:,} rows came: nothing was kept, try again")
