"""Dead letters: records that the engine refused for good, kept where they can be looked at, sent again or dropped.

While the store does not take even these they lie as files, and are moved into the table later.
"""

import base64
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from spanwell.errors import StoreError
from spanwell.spool import HALF, write_file
from spanwell_collector import telemetry
from spanwell_collector.ingest.records import NAMES, kind_of
from spanwell_collector.ingest.spans import count_spans
from spanwell_collector.store.client import Store, digest_batch

logger = logging.getLogger("spanwell.collector")

LONGEST_REASON: Final = 2000  # characters; the engine repeats what it could not read
LIST: Final = """
SELECT id, received, kind, project, reason, spans, length(payload) AS bytes
FROM spanwell.dead_letters FINAL
WHERE project = {project:String} OR {project:String} = ''
ORDER BY received DESC, id
LIMIT {limit:UInt32}
"""
GET: Final = """
SELECT id, received, kind, project, reason, spans, base64Encode(payload) AS payload
FROM spanwell.dead_letters FINAL
WHERE id = {id:String}
"""
BY_ID: Final = "id = {id:String} AND received <= {received:DateTime64(3)}"
END_OF_REASON: Final = b"\n--- record ---\n"
ENDING: Final = ".letter"  # a file with another is an earlier version's, and all record


class Letter(NamedTuple):
    """A row of spanwell.dead_letters. `payload` is the record as it stood in the journal."""

    id: str
    received: datetime
    kind: str
    project: str
    reason: str
    spans: int
    payload: bytes
    state: str = "dead"


def make_letter(record: bytes, reason: str, *, project: str, received: datetime) -> Letter:
    """Its id is the record's digest: what is refused twice is one letter. `project` is that of who names none."""
    kind = NAMES.get(kind_of(record), "unknown")
    rows = count_spans(record, project=project, received=received)
    named = next((row.project for row in rows if row.project), project)
    spans = sum(row.stored for row in rows)
    return Letter(digest_batch(record).hex(), received, kind, named, reason[:LONGEST_REASON], spans, record)


def bury(store: Store, letters: Sequence[Letter], directory: Path) -> None:
    """Keep `letters` in the table, or in `directory` while it takes none."""
    telemetry.DEAD_RECORDS.inc(len(letters))
    try:
        store.insert("dead_letters", letters, Letter._fields)
    except StoreError as error:
        for letter in letters:
            _write_file(letter, directory)
        logger.error("%d dead letters lie in %s: %s", len(letters), directory, error)
    else:
        for letter in letters:
            logger.error("dead letter %s: %s", letter.id, letter.reason)


def move_files(store: Store, directory: Path, *, project: str) -> None:
    """Put what lies in `directory` into the table, as far as that takes it: the rest stays where it is."""
    for path in sorted(directory.glob("*")):
        if path.suffix == HALF:  # its record is still in the spool
            path.unlink()
            continue
        try:
            store.insert("dead_letters", [_read_file(path, project)], Letter._fields)
            path.unlink()
        except (StoreError, OSError) as error:
            logger.error("dead letter %s stays where it is: %s", path, error)


def list_letters(store: Store, project: str, *, limit: int) -> pa.Table:
    """Newest first, without their payloads; an empty `project` means all."""
    return store.query(LIST, {"project": project, "limit": limit})


def get_letter(store: Store, letter_id: str) -> Letter | None:
    rows = store.query(GET, {"id": letter_id}).to_pylist()
    return Letter(**rows[0] | {"payload": base64.b64decode(rows[0]["payload"])}) if rows else None


def drop_letter(store: Store, letter: Letter) -> None:
    """Forget it as it was read; if it has been buried again since, it stays."""
    store.erase("dead_letters", BY_ID, {"id": letter.id, "received": letter.received})


def _read_file(path: Path, project: str) -> Letter:
    content = path.read_bytes()
    reason, _, record = content.partition(END_OF_REASON) if path.suffix == ENDING else (b"", b"", content)
    received = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return make_letter(record, reason.decode(errors="replace"), project=project, received=received)


def _write_file(letter: Letter, directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    reason = letter.reason.encode(errors="replace").replace(END_OF_REASON, b"\n")  # the engine quotes what it refuses
    write_file(directory / f"{letter.id}{ENDING}", reason + END_OF_REASON + letter.payload)
