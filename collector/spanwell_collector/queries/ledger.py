"""The ledger: what each producer says it sent, beside what is stored, and where something is missing between.

A producer numbers its spans from 0 when it hands a batch over for good: to its spool, or to the collector. So a number
that never came is a span that was lost on the way. It cannot show what died with its producer before it was numbered,
nor the last batch of one that never sent again; a producer that starts anew is another instance and starts from 0.
What a producer dropped itself it never numbered; it counts that apart.
"""

from datetime import datetime
from typing import Final

import pyarrow as pa

from spanwell_collector.queries.selection import microseconds
from spanwell_collector.store.client import Store

MOST_GAPS: Final = 100  # named, of one producer; all are counted
LATE_SECONDS: Final = 120  # how long a batch may be overtaken by the one behind it

# Numbers are the sender's own: sums of them are taken in 128 bits, and shown as at most 2^63 - 1.
# A batch received twice is one. Those just outside the window tell where it begins and which of its gaps were filled.
LEDGER: Final = """
SELECT * FROM
(
WITH
    fromUnixTimestamp64Micro({start_us:Int64}, 'UTC') AS window_start,
    fromUnixTimestamp64Micro({end_us:Int64}, 'UTC') AS window_end,
    (number -> toUInt64(least(number, toUInt128(9223372036854775807)))) AS shown,
    active AS
    (
        SELECT service, instance
        FROM spanwell.ledger
        WHERE project = {project:String} AND received >= window_start AND received < window_end AND sent > 0
        GROUP BY service, instance
    ),
    earlier AS
    (
        SELECT service, instance, max(toUInt128(first) + sent) AS reached, max(dropped) AS had_dropped
        FROM spanwell.ledger
        WHERE project = {project:String} AND received < window_start - INTERVAL 1 DAY AND sent > 0
          AND (service, instance) IN active
        GROUP BY service, instance
    ),
    batches AS
    (
        SELECT service, instance, toUInt128(first) AS begins, begins + sent AS ends, min(received) AS came,
            max(stored) AS its_stored, max(rejected) AS its_rejected, max(dropped) AS its_dropped,
            came >= window_start AND came < window_end AS is_within
        FROM spanwell.ledger
        WHERE project = {project:String} AND sent > 0 AND (service, instance) IN active
          AND received >= window_start - INTERVAL 1 DAY AND received < window_end + INTERVAL 1 DAY
        GROUP BY service, instance, first, sent, digest
    ),
    steps AS
    (
        SELECT *,
            greatest(
                earlier.reached,
                max(ends) OVER (PARTITION BY service, instance ORDER BY begins, ends
                                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS covered,
            min(came) OVER (PARTITION BY service, instance ORDER BY begins, ends
                            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS overtaken,
            if(begins > covered, begins - covered, 0) AS gap,
            if(ends > covered, ends - greatest(covered, begins), 0) AS fresh,
            if(ends - begins > its_stored + its_rejected, ends - begins - its_stored - its_rejected, 0) AS short,
            came > now64(3) - toIntervalSecond({late_seconds:UInt32}) AS is_late
        FROM batches
        LEFT JOIN earlier USING (service, instance)
    )
SELECT service, instance, true AS numbered,
    minIf(came, is_within) AS first_seen,
    maxIf(came, is_within) AS last_seen,
    shown(sumIf(fresh + gap, is_within)) AS sent,
    shown(sumIf(toUInt128(its_stored), is_within)) AS stored,
    shown(sumIf(toUInt128(its_rejected), is_within)) AS rejected,
    greatest(maxIf(its_dropped, is_within), greatest(max(had_dropped), maxIf(its_dropped, came < window_start)))
        - greatest(max(had_dropped), maxIf(its_dropped, came < window_start)) AS dropped,
    shown(sumIf(gap, is_within AND is_late)) AS late,
    shown(sumIf(if(is_late, 0, gap) + short, is_within)) AS missing,
    arraySort(groupArrayIf({most_gaps:UInt32})(
        CAST((shown(covered), shown(gap), overtaken, came)
             AS Tuple(first UInt64, count UInt64, after DateTime64(3, 'UTC'), before DateTime64(3, 'UTC'))),
        is_within AND gap > 0)) AS gaps
FROM steps
GROUP BY service, instance
HAVING countIf(is_within) > 0
UNION ALL
SELECT service, '' AS instance, false AS numbered, min(came) AS first_seen, max(came) AS last_seen,
    sum(its_stored) + sum(its_rejected) AS sent, sum(its_stored) AS stored, sum(its_rejected) AS rejected,
    toUInt64(0) AS dropped, toUInt64(0) AS late, toUInt64(0) AS missing,
    CAST([] AS Array(Tuple(
        first UInt64, count UInt64, after DateTime64(3, 'UTC'), before DateTime64(3, 'UTC')))) AS gaps
FROM
(
    SELECT service, min(received) AS came, max(stored) AS its_stored, max(rejected) AS its_rejected
    FROM spanwell.ledger
    WHERE project = {project:String} AND received >= window_start AND received < window_end AND sent = 0
    GROUP BY service, instance, if(digest = 0, cityHash64(received), digest)
)
GROUP BY service
)
ORDER BY service, instance, numbered
"""
# Counted back from the last batch, not from now: who missed its answer when we went down asks when we are back.
ACCEPTED: Final = """
SELECT digest
FROM spanwell.ledger
WHERE received > (SELECT max(received) FROM spanwell.ledger) - INTERVAL 6 HOUR AND digest != 0
GROUP BY digest
ORDER BY max(received) DESC
LIMIT 100000
"""


def list_accepted(store: Store) -> list[bytes]:
    """Digests of the batches accepted of late, oldest first."""
    digests = store.query(ACCEPTED).column("digest").to_pylist()
    return [digest.to_bytes(8, "little") for digest in reversed(digests)]


def get_ledger(store: Store, project: str, start: datetime, end: datetime) -> pa.Table:
    """One row a producer that sent in [start, end), and one a service for batches that nobody numbered.

    sent = stored + rejected + late + missing, unless a producer used a number twice. `dropped` are on top. A gap in
    `gaps` is {first, count, after, before}: its first number, how many, and when the batches around it came.
    """
    asked = {
        "project": project,
        "start_us": microseconds(start),
        "end_us": microseconds(end),
        "late_seconds": LATE_SECONDS,
        "most_gaps": MOST_GAPS,
    }
    return store.query(LEDGER, asked)
