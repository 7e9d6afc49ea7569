"""The ledger: what each producer says it sent, beside what is stored."""

from typing import Final

import pyarrow as pa

from spanwell_collector.store.client import Store

# A batch is one row a delivery; a batch that was delivered twice counts once.
LEDGER: Final = """
SELECT
    service,
    instance,
    max(first + sent) AS sent,
    sum(stored) AS stored,
    max(dropped) AS dropped,
    greatest(toInt64(sent) - toInt64(stored), 0) AS missing
FROM
(
    SELECT service, instance, first, max(batch.sent) AS sent, max(batch.stored) AS stored, max(batch.dropped) AS dropped
    FROM spanwell.ledger AS batch
    WHERE project = {project:String}
    GROUP BY service, instance, first
)
GROUP BY service, instance
ORDER BY service, instance
"""
ACCEPTED: Final = """
SELECT DISTINCT digest
FROM
(
    SELECT digest
    FROM spanwell.ledger
    WHERE received > now() - INTERVAL 6 HOUR AND digest != 0
    ORDER BY received DESC
    LIMIT 100000
)
"""


def list_accepted(store: Store) -> list[bytes]:
    """Digests of the batches accepted of late, oldest first."""
    digests = store.query(ACCEPTED).column("digest").to_pylist()
    return [digest.to_bytes(8, "little") for digest in reversed(digests)]


def get_ledger(store: Store, project: str) -> pa.Table:
    """One row a producer: spans sent, stored, dropped by itself, and missing between the two."""
    return store.query(LEDGER, {"project": project})
