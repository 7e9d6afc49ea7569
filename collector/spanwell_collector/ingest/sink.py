"""The store as the writer sees it: it takes records, gives back what an insert cut short has left, and buries."""

import contextlib
import hashlib
import secrets
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from spanwell.errors import QueryError
from spanwell_collector import telemetry
from spanwell_collector.ingest.dead import bury, drop_letter, get_letter, make_letter
from spanwell_collector.ingest.events import LooseScore, TextRow
from spanwell_collector.ingest.ledger import LedgerRow
from spanwell_collector.ingest.prepare import OVER_DATA, Prepared, prepare, prepare_events
from spanwell_collector.ingest.records import LOGS, kind_of
from spanwell_collector.ingest.spans import Refiner, count_spans, list_keys
from spanwell_collector.store.client import Store

ANSWERED_BY: Final = """
SELECT response_id, argMin(trace_id, ts) AS trace_id, argMin(span_id, ts) AS span_id
FROM spanwell.spans
WHERE project = {project:String} AND response_id IN {ids:Array(String)} AND duplicate_of = ''
  AND ts > now() - INTERVAL 7 DAY
GROUP BY response_id
"""
SAME_TEXTS: Final = (
    "trace_id IN {traces:Array(String)} AND source = 'event'"
    " AND lower(hex(MD5(concat(project, trace_id, span_id, input, output)))) IN {digests:Array(String)}"
)
# Spans of a numbered batch that were counted as rejected.
REINSTATE: Final = """
UPDATE spanwell.ledger
SET stored = stored + least(rejected, {spans:UInt64}), rejected = rejected - least(rejected, {spans:UInt64})
WHERE project = {project:String} AND service = {service:String} AND instance = {instance:String}
  AND first = {first:UInt64} AND sent = {sent:UInt64}
"""
SAME_BATCHES: Final = "digest IN {digests:Array(UInt64)}"


class Homeless(NamedTuple):
    """A record about a call that is not in the store."""

    record: bytes
    project: str
    reason: str


class Sink:
    """Inserts records under tokens. Every method raises QueryError for what is refused for good, else StoreError.

    The writer and whoever replays a dead letter take turns.
    """

    def __init__(self, store: Store, refiner: Refiner, *, project: str, dead: Path) -> None:
        self._store = store
        self._refiner = refiner
        self._project = project
        self._dead = dead
        self._turn = threading.Lock()

    def insert(self, records: Sequence[bytes], token: str) -> list[LedgerRow]:
        """Put everything in but the ledger's rows, which are returned."""
        with self._turn:
            prepared = prepare(records, self._refiner, project=self._project)
            homeless = self._insert(prepared, token)
        now = datetime.now(UTC)
        letters = [make_letter(one.record, one.reason, project=one.project, received=now) for one in homeless]
        if letters:
            bury(self._store, letters, self._dead)
        telemetry.ITEMS_LEFT_OUT.labels("logs").inc(prepared.events.left_out)
        telemetry.ITEMS_LEFT_OUT.labels("metrics").inc(prepared.measurements.left_out)
        logs = [record for record in records if kind_of(record) == LOGS]
        return prepared.spans.ledger + [row for record in logs for row in self.count(record)]

    def replay(self, letter_id: str) -> bool:
        """Put in what was refused before, and drop its letter; False when there is none. Whoever asks for it at the
        same time finds none either."""
        with self._turn:
            letter = get_letter(self._store, letter_id)
            if letter is None:
                return False
            self._take_out([letter.payload])  # a replay that was cut short may have left some
            try:
                self._put_in(letter.payload)
            except QueryError:
                self._take_out([letter.payload])
                raise
            drop_letter(self._store, letter)
        return True

    def count(self, record: bytes) -> list[LedgerRow]:
        """The ledger's rows of one record."""
        return count_spans(record, project=self._project, received=datetime.now(UTC))

    def note(self, rows: Sequence[LedgerRow], token: str) -> None:
        """Enter `rows` into the ledger."""
        if rows:
            self._store.insert("ledger", rows, LedgerRow._fields, token=token)

    def erase(self, records: Sequence[bytes]) -> None:
        """Take out what of `records` is stored. Scores and metrics stay: the same row again replaces itself."""
        with self._turn:
            self._take_out(records)
            if digests := [row.digest for record in records for row in self.count(record)]:
                self._store.erase("ledger", SAME_BATCHES, {"digests": digests})

    def bury(self, record: bytes, reason: str) -> None:
        """Keep what was refused among the dead letters."""
        letter = make_letter(record, reason, project=self._project, received=datetime.now(UTC))
        bury(self._store, [letter], self._dead)

    def _put_in(self, record: bytes) -> None:
        homeless = self._insert(prepare([record], self._refiner, project=self._project), secrets.token_hex(8))
        if homeless:
            raise QueryError(homeless[0].reason)
        for row in self.count(record):
            if row.sent:
                self._store.command(REINSTATE, row._asdict() | {"spans": row.stored})

    def _take_out(self, records: Sequence[bytes]) -> None:
        """Everything but the ledger's rows."""
        self._store.erase_spans(sorted(set(list_keys(records, project=self._project))))
        if texts := self._read_texts(records):
            self._store.erase("texts", SAME_TEXTS, _describe(texts))

    def _insert(self, prepared: Prepared, token: str) -> list[Homeless]:
        spans, events, rows = prepared
        if spans.native:
            self._store.insert_otlp(spans.native, project=self._project, token=f"{token}:native")
        if spans.refined:
            self._store.insert_otlp(spans.refined, project=self._project, token=f"{token}:refined", dialects=True)
        homes = self._find_homes(events.loose)
        found = [score.at(*homes[score.key]) for score in events.loose if score.key in homes]
        for table, made in (("texts", events.texts), ("scores", [*events.scores, *found]), ("metrics", rows.rows)):
            if made:
                self._store.insert(table, made, made[0]._fields, token=f"{token}:{table}")
        return [_homeless(score) for score in events.loose if score.key not in homes]

    def _find_homes(self, loose: Sequence[LooseScore]) -> dict[tuple[str, str], tuple[str, str]]:
        """Trace and span of each response that is known, by project and response."""
        homes = {}
        for project in {score.row.project for score in loose}:
            ids = sorted({score.response_id for score in loose if score.row.project == project})
            for row in self._store.query(ANSWERED_BY, {"project": project, "ids": ids}).to_pylist():
                homes[project, row["response_id"]] = row["trace_id"], row["span_id"]
        return homes

    def _read_texts(self, records: Sequence[bytes]) -> list[TextRow]:
        logs = [record for record in records if kind_of(record) == LOGS]
        with contextlib.suppress(*OVER_DATA):  # what cannot be read has left nothing
            return prepare_events(logs, project=self._project).texts
        return []


def _describe(texts: Iterable[TextRow]) -> dict[str, Any]:
    """The parameters of SAME_TEXTS."""
    parts = [f"{row.project}{row.trace_id}{row.span_id}{row.input}{row.output}" for row in texts]
    digests = [hashlib.md5(part.encode(), usedforsecurity=False).hexdigest() for part in parts]
    return {"traces": sorted({row.trace_id for row in texts}), "digests": digests}


def _homeless(score: LooseScore) -> Homeless:
    return Homeless(score.record, score.row.project, f"no call with the response id {score.response_id!r} is stored")
