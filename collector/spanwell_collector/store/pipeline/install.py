"""Renders the pipeline's SQL and puts it into the store when it differs from what is there."""

import hashlib
import re
from pathlib import Path
from typing import Final

from spanwell_collector.store.client import Store
from spanwell_collector.store.statements import split_statements

DIRECTORY: Final = Path(__file__).parent
NATIVE: Final = "mapFromArrays(names, values)"  # the names are ours already
CREATE_PIPELINES: Final = """
CREATE TABLE IF NOT EXISTS spanwell.pipelines
(
    digest String,
    ts     DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY ts
"""
INSTALLED: Final = "SELECT argMax(digest, ts) AS digest FROM spanwell.pipelines"
# A view goes before the table it reads from.
HOLDING_NOTHING: Final = """
SELECT name
FROM system.tables
WHERE database = 'spanwell' AND engine IN ('MaterializedView', 'Null')
ORDER BY engine
"""
READ_ATTRIBUTE: Final = re.compile(r"\battrs\['([^']+)'\]")


def render_pipeline(mapping: str) -> list[str]:
    """The statements, in order. `mapping` makes the map of attributes of a span that is not the proxy's."""
    rows = {"otlp_spans": _render_columns("otlp_spans"), "otlp_dialect_spans": _render_columns("otlp_dialect_spans")}
    texts = [
        _read("1_otlp.sql"),
        _read("3_prices.sql"),
        _fill("5_costs.sql", **rows),
        *(_fill("6_texts.sql", source=source) for source in rows),
        _fill("2_parse.sql", source="otlp_in", target="otlp_spans", attrs=NATIVE),
        _fill("2_parse.sql", source="otlp_dialects_in", target="otlp_dialect_spans", attrs=mapping),
    ]
    return [statement for text in texts for statement in split_statements(text)]


def _render_columns(source: str) -> str:
    """What no column takes of a span's attributes, and no text, is left in its `attributes`."""
    read = READ_ATTRIBUTE.findall(_read("4_spans.sql") + _read("6_texts.sql"))
    columns = ", ".join(f"'{name}'" for name in sorted(set(read)))
    lines = _fill("4_spans.sql", source=source, columns=columns).splitlines()
    return "\n".join(line for line in lines if not line.startswith("--")).strip()


def install_pipeline(store: Store, statements: list[str]) -> bool:
    """Make the views anew if their text has changed; whether it had. Nothing may be inserting meanwhile.

    A half-made pipeline is not recorded, so the next start makes it again.
    """
    digest = hashlib.sha256("\0".join(statements).encode()).hexdigest()
    store.command(CREATE_PIPELINES)
    if store.query(INSTALLED).column("digest").to_pylist() == [digest]:
        return False
    for name in store.query(HOLDING_NOTHING).column("name").to_pylist():
        store.command(f"DROP TABLE spanwell.{name}")
    for statement in statements:
        store.command(statement)
    store.insert("pipelines", [(digest,)], ("digest",))
    return True


def _fill(name: str, **values: str) -> str:
    text = _read(name)
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def _read(name: str) -> str:
    return (DIRECTORY / name).read_text(encoding="utf-8")
