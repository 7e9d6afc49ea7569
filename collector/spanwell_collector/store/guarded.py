"""Runs strangers' SQL on the embedded engine, where it can read tables and do nothing else.

The engine's `readonly = 1` refuses writes, but not `INTO OUTFILE`, the function file(), python() or KILL QUERY. So each
statement is first parsed by the engine itself (EXPLAIN AST) and only a tree of known roots and functions may run. Two
things must not reach that EXPLAIN: INTO OUTFILE, which would write the tree to the file, and text that makes EXPLAIN
the name of a column (`, file('/etc/passwd') FROM (SELECT 1 AS EXPLAIN)`), which is why implicit_select is off.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import chdb
import orjson

from spanwell.errors import QueryError

ROOTS: Final = frozenset(
    {
        "SelectWithUnionQuery",
        "SelectIntersectExceptQuery",
        "Explain",
        "DescribeQuery",
        "ShowTables",
        "ShowColumns",
        "ShowIndexes",
        "ShowFunctions",
        "ShowEngineQuery",
        "ShowCreateTableQuery",
        "ShowCreateViewQuery",
        "ShowCreateDatabaseQuery",
        "ExistsTableQuery",
        "ExistsViewQuery",
        "ExistsDatabaseQuery",
    }
)
TABLE_FUNCTIONS: Final = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "view", "null"}
)
FUNCTIONS_NAMED_ALIKE: Final = frozenset({"format"})  # a harmless function; readonly refuses the table function
REFUSED_FUNCTIONS: Final = """
SELECT lower(name) FROM system.table_functions
UNION DISTINCT
SELECT lower(name) FROM system.functions
WHERE categories IN ('AI', 'Introspection')
   OR lower(name) IN ('file', 'hascolumnintable', 'currentrequesturl', 'getclienthttpheader')
"""
SETTINGS: Final = frozenset(
    {
        "allow_experimental_variant_type",
        "cast_string_to_dynamic_use_inference",
        "date_time_input_format",
        "date_time_output_format",
        "extremes",
        "final",
        "group_by_use_nulls",
        "join_use_nulls",
        "limit",
        "log_comment",
        "max_block_size",
        "max_execution_time",
        "max_result_rows",
        "max_rows_to_read",
        "max_threads",
        "offset",
        "output_format_json_quote_64bit_integers",
        "output_format_json_quote_decimals",
        "output_format_native_encode_types_in_binary_format",
        "prefer_column_name_to_alias",
        "read_overflow_mode",
        "result_overflow_mode",
        "session_timezone",
        "use_uncompressed_cache",
        "output_format_arrow_compression_method",
        "output_format_arrow_string_as_string",
        "output_format_arrow_low_cardinality_as_dictionary",
    }
)
# Clients ask at their handshake which settings they may send; readonly = 1 would show all of them as closed.
SHOW_SETTINGS: Final = r"\1toUInt8(name NOT IN ('" + "', '".join(sorted(SETTINGS)) + r"')) AS readonly\2"
LIMITS: Final = {
    "max_execution_time": 30,
    "max_memory_usage": 2_000_000_000,
    "max_result_rows": 5_000_000,
    "max_result_bytes": 512_000_000,
    "max_threads": 2,
}
READONLY_CODE: Final = 164
NODE: Final = re.compile(r"^( *)(\w+)(?: (.*?))?(?: \(alias .*\))?(?: \(children \d+\))?$")
ASK_SETTINGS: Final = re.compile(
    r"(\s*SELECT name, value, )readonly( FROM system\.settings\b.*)", re.IGNORECASE | re.DOTALL
)
INSERT: Final = re.compile(r"\s*INSERT\b", re.IGNORECASE)
OUTFILE: Final = re.compile(r"\bINTO\s+OUTFILE\b", re.IGNORECASE)
CODE: Final = re.compile(r"Code: (\d+)")


class DoorError(QueryError):
    """A statement that was not answered, with ClickHouse's number for why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code = code


class Question(NamedTuple):
    """One statement and what it runs with; `parameters` are as ClickHouse's HTTP interface takes them."""

    sql: str
    format: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    database: str


class Answer(NamedTuple):
    body: bytes
    format: str
    summary: bytes


class GuardedEngine:
    """The engine in `path`, which this process has opened already."""

    def __init__(self, path: Path) -> None:
        self._path = str(path.resolve())
        self._anchor = _connect(self._path)
        names = self._anchor.query(REFUSED_FUNCTIONS, "TabSeparatedRaw").bytes().decode().split()
        self._refused = frozenset(names) - TABLE_FUNCTIONS - FUNCTIONS_NAMED_ALIKE

    def close(self) -> None:
        self._anchor.close()

    def ask(self, question: Question) -> Answer:
        """Check, then run. Raises DoorError. Blocks: call it on a thread."""
        question = question._replace(sql=ASK_SETTINGS.sub(SHOW_SETTINGS, question.sql))
        connection = _connect(self._path)
        try:
            self._prepare(connection, question)
            return _run(connection, question)
        except RuntimeError as error:
            raise _as_door_error(error) from error
        finally:
            connection.close()

    def _prepare(self, connection: Any, question: Question) -> None:
        if INSERT.match(question.sql):  # its data may be binary, which the parser would stumble over first
            raise DoorError(READONLY_CODE, "this door is for reading: INSERT is refused (READONLY)")
        unknown = sorted(name for name in question.settings if name not in SETTINGS)
        if unknown:
            allowed = ", ".join(sorted(SETTINGS))
            raise DoorError(READONLY_CODE, f"setting {unknown[0]} cannot be changed here; allowed are {allowed}")
        if question.database:
            connection.query(f"USE {_quote(question.database, '`')}", "Null")
        settings = {**LIMITS, **_within_limits(question.settings), "implicit_select": 0, "readonly": 1}
        assignments = ", ".join(f"{name} = {_quote(str(value))}" for name, value in settings.items())
        connection.query(f"SET {assignments}", "Null")
        self._check(connection, question)

    def _check(self, connection: Any, question: Question) -> None:
        # The engine would run statement after statement, so there must be one: its own lexer takes the literals out.
        answer = connection.query(
            "SELECT normalizeQuery({sql:String})", "TabSeparatedRaw", params={"sql": _escape(question.sql)}
        )
        lexed = answer.bytes().decode()
        if ";" in lexed.strip().rstrip(";"):
            raise DoorError(62, "one statement at a time (SYNTAX_ERROR)")
        if OUTFILE.search(lexed):
            raise DoorError(READONLY_CODE, "this door is for reading: INTO OUTFILE is refused (READONLY)")
        tree = connection.query(f"EXPLAIN AST {question.sql}", "TabSeparatedRaw", params=dict(question.parameters))
        check_tree(tree.bytes().decode(), self._refused)


def check_tree(tree: str, refused: frozenset[str]) -> None:
    """Raise DoorError unless `tree`, EXPLAIN AST's answer, only reads tables."""
    if not re.match(r"\w", tree):
        raise DoorError(READONLY_CODE, "this door is for reading: what cannot be parsed is refused (READONLY)")
    for line in tree.splitlines():
        node = NODE.match(line)
        if node is None:
            continue
        depth, kind, name = len(node[1]), node[2], node[3] or ""
        if depth == 0 and kind not in ROOTS:
            raise DoorError(READONLY_CODE, f"this door is for reading: {kind} is refused (READONLY)")
        if kind == "Function" and name.lower() in refused:
            raise DoorError(READONLY_CODE, f"this door is for reading: function {name} is refused (READONLY)")


def _connect(path: str) -> Any:
    return chdb.connect(path)  # type: ignore[no-untyped-call]


def _run(connection: Any, question: Question) -> Answer:
    chosen = re.search(r"\bFORMAT\s+(\w+)[\s;]*$", question.sql, re.IGNORECASE)
    result = connection.query(question.sql, question.format, params=dict(question.parameters))
    summary = {
        "read_rows": str(result.rows_read()),
        "read_bytes": str(result.bytes_read()),
        "elapsed_ns": str(int(result.elapsed() * 1e9)),
    }
    return Answer(result.bytes() or b"", chosen[1] if chosen else question.format, orjson.dumps(summary))


def _within_limits(settings: Mapping[str, str]) -> dict[str, str]:
    """`settings`, with none of the limits loosened; 0 would mean no limit."""
    kept = dict(settings)
    for name in LIMITS.keys() & kept.keys():
        text = kept[name]
        if not text.isdigit() or not 0 < int(text) <= LIMITS[name]:
            kept[name] = str(LIMITS[name])
    return kept


def _as_door_error(error: RuntimeError) -> DoorError:
    text = str(error)
    code = CODE.search(text)
    message = text[code.end() :].removeprefix(". DB::Exception: ") if code else text
    return DoorError(int(code[1]) if code else 1002, message.strip())


def _quote(text: str, mark: str = "'") -> str:
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def _escape(text: str) -> str:
    return (
        text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r").replace("\0", "\\0")
    )
