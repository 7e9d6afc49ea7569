"""Spells a statement for a cluster: where one server has a table, a cluster has a local one on each node and a
Distributed one over them.

Rows are spread by their trace, so that what belongs together is joined and deleted where it lies. Reading and inserting
go to the Distributed table under the table's own name; whatever changes rows or tables goes to the local ones.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from spanwell.errors import QueryError
from spanwell_collector.store.statements import quote_text

# Keeper's path names the table, so that a node that is added later finds it; the macros are each server's own.
REPLICA: Final = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
NAME: Final = r"spanwell\.(?P<name>\w+)"
TABLE: Final = re.compile(rf"(?P<head>CREATE TABLE (?:IF NOT EXISTS )?){NAME}(?P<body>.*)", re.DOTALL)
OBJECT: Final = re.compile(
    r"(?P<head>CREATE (?:OR REPLACE )?(?:MATERIALIZED VIEW|VIEW|DICTIONARY|FUNCTION) (?:IF NOT EXISTS )?)"
    r"(?P<name>[\w.]+)(?P<body>.*)",
    re.DOTALL,
)
DATABASE: Final = re.compile(r"(?P<head>CREATE DATABASE (?:IF NOT EXISTS )?)(?P<name>\w+)(?P<body>.*)", re.DOTALL)
DROP_TABLE: Final = re.compile(rf"DROP TABLE (?:IF EXISTS )?{NAME}(?: SYNC)?")
DROP_OTHER: Final = re.compile(r"(?P<head>DROP (?:VIEW|DICTIONARY) (?:IF EXISTS )?)(?P<name>[\w.]+)(?P<body>.*)")
ALTER: Final = re.compile(rf"ALTER TABLE {NAME}\s+(?P<body>.*)", re.DOTALL)
VERB: Final = r"(?P<head>UPDATE |DELETE FROM |TRUNCATE TABLE (?:IF EXISTS )?|OPTIMIZE TABLE )"
ROWS: Final = re.compile(VERB + NAME + r"(?P<body>.*)", re.DOTALL)
SYSTEM: Final = re.compile(r"(?P<head>SYSTEM [A-Z ]+[A-Z])(?: (?P<name>spanwell\.\w+))?")
KILL: Final = re.compile(r"(?P<head>KILL MUTATION)(?P<body>.*)", re.DOTALL)
INSERT: Final = re.compile(r"INSERT INTO ")
ENGINE: Final = re.compile(r"ENGINE = (?P<kind>\w*MergeTree)(?:\((?P<arguments>[^)]*)\))?")
ORDER: Final = re.compile(r"ORDER BY (?:\((?P<columns>[^)]*)\)|(?P<column>\w+))")
OWN_WINDOW: Final = "non_replicated_deduplication_window"
SHARED_WINDOW: Final = "replicated_deduplication_window"
OF_COLUMNS: Final = re.compile(r"(ADD|DROP|MODIFY|RENAME) COLUMN ")
CLUSTER_SETTINGS: Final = {
    "distributed_product_mode": "global",  # a subquery over all shards is asked once
    "distributed_foreground_insert": 1,  # stored when the insert returns, not some time later
    # Replicas take no change that asks other tables what to change, unless they are told that the answers are the same.
    "allow_nondeterministic_mutations": 1,
}


class _Context(NamedTuple):
    cluster: str

    @property
    def on(self) -> str:
        return f" ON CLUSTER {quote_text(self.cluster)}"


def local(table: str) -> str:
    """The table of one node."""
    return f"{table}_local"


def pick_node(token: str, nodes: Sequence[str]) -> str:
    """The node that takes a segment, the same at every attempt; when nodes come or go, few segments move."""
    return max(nodes, key=lambda node: hashlib.sha256(f"{token}\0{node}".encode()).digest())


def render(statement: str, cluster: str) -> list[str]:
    """`statement` as a cluster runs it. Raises QueryError for one whose meaning there is not known."""
    text, at = statement.strip(), _Context(cluster)
    if INSERT.match(text):
        return [text]
    if match := DROP_TABLE.fullmatch(text):
        return [f"DROP TABLE IF EXISTS spanwell.{name}{at.on} SYNC" for name in (match["name"], local(match["name"]))]
    if match := TABLE.match(text):
        return _create(match, at)
    if match := ALTER.match(text):
        return _alter(match["name"], match["body"], at)
    if match := ROWS.match(text):
        return [f"{match['head']}spanwell.{local(match['name'])}{at.on}{match['body']}"]
    for pattern in (DATABASE, OBJECT, DROP_OTHER):
        if match := pattern.match(text):
            return [f"{match['head']}{match['name']}{at.on}{match['body']}"]
    return _operate(text, at)


def _create(match: re.Match[str], at: _Context) -> list[str]:
    name, body = match["name"], match["body"]
    engine = ENGINE.search(body)
    if engine is None:  # it holds nothing, on every node
        return [f"{match['head']}spanwell.{name}{at.on}{body}"]
    arguments = ", ".join(part for part in (REPLICA, engine["arguments"]) if part)
    body = f"{body[: engine.start()]}ENGINE = Replicated{engine['kind']}({arguments}){body[engine.end() :]}"
    body = body.replace(OWN_WINDOW, SHARED_WINDOW)
    spread = f"Distributed({quote_text(at.cluster)}, 'spanwell', '{local(name)}', {_find_shard_key(match['body'])})"
    return [
        f"{match['head']}spanwell.{local(name)}{at.on}{body}",
        f"{match['head']}spanwell.{name}{at.on} AS spanwell.{local(name)} ENGINE = {spread}",
    ]


def _find_shard_key(body: str) -> str:
    """Rows of one trace lie on one node, and so do rows that replace each other."""
    if re.search(r"^\s*trace_id\s", body, re.MULTILINE):
        return "cityHash64(trace_id)"
    order = ORDER.search(body)
    columns = (order["columns"] or order["column"] or "") if order else ""
    return f"cityHash64({columns})" if columns else "rand()"


def _alter(name: str, body: str, at: _Context) -> list[str]:
    statements = [f"ALTER TABLE spanwell.{local(name)}{at.on} {body.replace(OWN_WINDOW, SHARED_WINDOW)}"]
    columns = [clause for clause in _split_clauses(body) if OF_COLUMNS.match(clause)]
    if columns:
        statements.append(f"ALTER TABLE spanwell.{name}{at.on} {', '.join(columns)}")
    return statements


def _split_clauses(text: str) -> list[str]:
    """At the commas that stand in no parentheses and no quotes."""
    clauses, depth = [""], 0
    for word in re.findall(r"'(?:[^'\\]|\\.)*'|[(),]|[^'(),]+", text):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "," and depth == 0:
            clauses.append("")
        else:
            clauses[-1] += word
    return [clause.strip() for clause in clauses]


def _operate(text: str, at: _Context) -> list[str]:
    if match := SYSTEM.fullmatch(text):
        name = match["name"] or ""
        # A dictionary has one name everywhere.
        place = name if "DICTIONARY" in match["head"] else name and local(name)
        return [f"{match['head']}{at.on} {place}".rstrip()]
    if match := KILL.match(text):
        return [f"{match['head']}{at.on}{match['body']}"]
    raise QueryError(f"not known how to run on a cluster: {text[:80]}")
