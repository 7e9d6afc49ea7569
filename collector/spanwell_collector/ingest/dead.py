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
from spanwell_collector import telemetry
from spanwell_collector.ingest.records import NAMES, read_record
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
END_OF_REASON: Final = b"\n--- record ---\n"  # in a file; one of an earlier version has none, and is all record


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


def make_letter(record: bytes, reason: str, *, project: str, spans: int, received: datetime) -> Letter:
    """Its id is the record's digest: what is refused twice is one letter."""
    kind = NAMES.get(read_record(record).kind, "unknown")
    return Letter(digest_batch(record).hex(), received, kind, project, reason[:LONGEST_REASON], spans, record)


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
    """Put what lies in `directory` into the table. Raises StoreError; what is not stored stays where it is."""
    for path in sorted(directory.glob("*")):
        reason, _, record = path.read_bytes().rpartition(END_OF_REASON)
        received = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        letter = make_letter(record, reason.decode(errors="replace"), project=project, spans=0, received=received)
        store.insert("dead_letters", [letter], Letter._fields)
        path.unlink()


def list_letters(store: Store, project: str, *, limit: int) -> pa.Table:
    """Newest first, without their payloads; an empty `project` means all."""
    return store.query(LIST, {"project": project, "limit": limit})


def get_letter(store: Store, letter_id: str) -> Letter | None:
    rows = store.query(GET, {"id": letter_id}).to_pylist()
    return Letter(**rows[0] | {"payload": base64.b64decode(rows[0]["payload"])}) if rows else None


def drop_letter(store: Store, letter: Letter) -> None:
    """Forget it as it was read; if it has been buried again since, it stays."""
    store.erase("dead_letters", BY_ID, {"id": letter.id, "received": letter.received})


def _write_file(letter: Letter, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{letter.id}.letter"
    path.write_bytes(letter.reason.encode() + END_OF_REASON + letter.payload)
