"""The last day's bill, twice: by model from the query API, and by application and model in SQL."""

import json
import os
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from urllib.request import urlopen

import clickhouse_connect

collector = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
start = (datetime.now(UTC) - timedelta(days=1)).isoformat()
question = urlencode({"by": "model", "metric": ["cost_usd", "requests", "p95_ms"], "start": start}, doseq=True)
with urlopen(f"{collector}/api/v1/breakdown?{question}") as answer:
    for row in json.load(answer)["rows"]:
        print(f"{row['model']:20} {row['requests']:6} calls  ${row['cost_usd'] or 0:.4f}  p95 {row['p95_ms']:.0f} ms")

store = clickhouse_connect.get_client(host="127.0.0.1", port=int(os.environ.get("SPANWELL_SQL_PORT", "8123")))
rows = store.query("""
    SELECT app, model, count() AS calls, sum(cost_usd) AS usd, quantile(0.95)(ttft_ms) AS ttft_p95_ms
    FROM spanwell.spans
    WHERE operation = 'chat' AND purpose = '' AND ts > now() - INTERVAL 1 DAY
    GROUP BY app, model
    ORDER BY usd DESC NULLS LAST
    LIMIT 5
""")
for row in rows.named_results():
    print(row)
store.close()
