"""How a number is spread over requests: counts in buckets whose width grows with the number."""

from typing import Final

import pyarrow as pa

from spanwell_collector.queries.selection import Selection
from spanwell_collector.registry import REQUESTS, Field
from spanwell_collector.store.client import Store

# Ten buckets a power of ten. A logarithm may be off by its last digit: 1000 belongs to the bucket that begins there.
HISTOGRAM: Final = """
SELECT
    if(isNull(step), 0, exp10(step / 10)) AS low,
    if(isNull(step), 0, exp10((step + 1) / 10)) AS high,
    count() AS requests
FROM
(
    SELECT toFloat64({number}) AS value, if(value > 0, floor(log10(value) * 10 + 1e-9), NULL) AS step
    FROM spanwell.spans
    WHERE {where} AND {requests} AND isNotNull({number})
)
GROUP BY step
ORDER BY step NULLS FIRST
"""


def get_histogram(store: Store, selection: Selection, of: Field) -> pa.Table:
    """Rows {low, high, requests} with low <= number < high, in order; of zeros both are 0. Empty buckets are left out.

    Requests without the number are in no bucket.
    """
    sql = HISTOGRAM.format(number=of.sql, where=selection.where(), requests=REQUESTS)
    return store.query(sql, selection.parameters())
