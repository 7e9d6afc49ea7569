"""The store as the writer sees it: it takes records, gives back what an insert cut short has left, and buries."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import DecodeError

from spanwell.errors import QueryError
from spanwell_collector.ingest.ledger import LedgerRow
from spanwell_collector.ingest.prepare import Refiner, Spans, count_spans, list_keys, prepare_spans
from spanwell_collector.ingest.records import NAMES, TRACES, read_record
from spanwell_collector.store.client import Store

# What code raises over data that it did not expect: the data is at fault, and must not end the process.
OVER_DATA: Final = (ArithmeticError, AttributeError, DecodeError, LookupError, RecursionError, TypeError, ValueError)


class Sink:
    """Inserts records under tokens. Every method raises QueryError for what is refused for good, else StoreError."""

    def __init__(self, store: Store, refiner: Refiner, *, project: str) -> None:
        self._store = store
        self._refiner = refiner
        self._project = project

    def insert(self, records: Sequence[bytes], token: str) -> list[LedgerRow]:
        """Put everything in but the ledger's rows, which are returned."""
        spans = self._prepare(records)
        if spans.native:
            self._store.insert_otlp(spans.native, project=self._project, token=f"{token}:native")
        if spans.refined:
            self._store.insert_otlp(spans.refined, project=self._project, token=f"{token}:refined", dialects=True)
        return spans.ledger

    def count(self, record: bytes) -> list[LedgerRow]:
        """The ledger's rows of one record."""
        return count_spans(record, project=self._project, received=datetime.now(UTC))

    def note(self, rows: Sequence[LedgerRow], token: str) -> None:
        """Enter `rows` into the ledger."""
        if rows:
            self._store.insert("ledger", rows, LedgerRow._fields, token=f"{token}:ledger")

    def erase(self, records: Sequence[bytes]) -> None:
        """Take out whatever of `records` is stored."""
        self._store.erase_spans(sorted(set(list_keys(records))))

    def bury(self, record: bytes, reason: str) -> None:
        """Keep what was refused among the dead letters."""

    def _prepare(self, records: Sequence[bytes]) -> Spans:
        unknown = {read_record(record).kind for record in records} - NAMES.keys()
        if unknown:
            raise QueryError(f"records of kinds {sorted(unknown)}")
        traces = [record for record in records if read_record(record).kind == TRACES]
        try:
            return prepare_spans(traces, self._refiner, project=self._project, received=datetime.now(UTC))
        except OVER_DATA as error:
            raise QueryError(f"cannot be read: {error!r}") from error
