"""What a stranger's SQL may be: which statements, functions and settings, and within which limits. Decisions alone.

A statement is judged by the tree that the engine itself parses it to. Its answer's destination is written into it first
(see `direct`), so that what was judged is what runs.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

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
# The engine answers these with a statement of its own, which knows no destination. They are small.
REWRITTEN: Final = frozenset({"ShowTables", "ShowColumns", "ShowIndexes", "ShowFunctions", "ShowEngineQuery"})
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
        "max_block_size",
        "max_execution_time",
        "max_result_bytes",
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
# What clients may send besides: it is the door's to heed, and not the engine's.
DOOR_SETTINGS: Final = frozenset(
    {"cancel_http_readonly_queries_on_client_close", "enable_http_compression", "log_comment"}
)
# Clients ask at their handshake which settings they may send; readonly = 1 would show all of them as closed.
SHOW_SETTINGS: Final = (
    r"\1toUInt8(name NOT IN ('" + "', '".join(sorted(SETTINGS | DOOR_SETTINGS)) + r"')) AS readonly\2"
)
ASK_SETTINGS: Final = re.compile(
    r"(\s*SELECT name, value, )readonly( FROM system\.settings\b.*)", re.IGNORECASE | re.DOTALL
)


class Limit(NamedTuple):
    """What holds where nothing is said, and the most that can be asked for."""

    usual: int
    most: int


LIMITS: Final = {
    "max_execution_time": Limit(30, 600),  # the time that a client takes to read counts too
    "max_memory_usage": Limit(2_000_000_000, 2_000_000_000),
    "max_result_rows": Limit(5_000_000, 100_000_000),
    "max_result_bytes": Limit(1_000_000_000, 20_000_000_000),
    "max_threads": Limit(2, 2),
}
BAD_ARGUMENTS, SYNTAX_ERROR, READONLY, UNKNOWN_FORMAT = 36, 62, 164, 73
NODE: Final = re.compile(r"^( *)(\w+)(?: (.*?))?(?: \(alias .*\))?(?: \(children \d+\))?$")
INSERT: Final = re.compile(r"\s*INSERT\b", re.IGNORECASE)
OUTFILE: Final = re.compile(r"\bINTO\s+OUTFILE\b", re.IGNORECASE)
COMMENTS_AND_END: Final = re.compile(r"/\*.*?\*/|--[^\n]*|#[ !][^\n]*|;", re.DOTALL)
NOWHERE: Final = "INTO OUTFILE '/dev/null' APPEND"
NOWHERE_NODE: Final = re.compile(r"^ Literal '/dev/null'$", re.MULTILINE)
KILL: Final = re.compile(
    r"\s*KILL\s+QUERY\s+WHERE\s+query_id\s*=\s*'([\w.-]{1,128})'\s*(?:A?SYNC\s*)?(?:FORMAT\s+(\w+)\s*)?;?\s*",
    re.IGNORECASE,
)


class DoorError(QueryError):
    """A statement that was not answered, with ClickHouse's number for why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code = code


class Token(NamedTuple):
    """A word of a statement: where it begins and ends, in bytes, and what the engine's parser took it for."""

    begin: int
    end: int
    kind: str


class Directed(NamedTuple):
    """A statement in two halves, with a place between them for where its answer goes."""

    head: str
    format: str
    tail: str

    def to(self, destination: str = "") -> str:
        """The statement; `destination` is a clause, without which the answer comes to who asks."""
        return f"{self.head}\n{destination}\nFORMAT {self.format}{self.tail}"


def direct(sql: str, tokens: Sequence[Token], format: str) -> Directed:
    """Find where in `sql` its answer's destination belongs; `format` is for when it names none itself.

    A wrong guess is an error of syntax, or no destination of the whole statement: `check_tree` looks at the outcome.
    """
    text = sql.encode()
    end = tokens[-1].end if tokens else 0
    rest = COMMENTS_AND_END.sub(" ", text[end:].decode())
    for place in range(len(tokens) - 2, -1, -1):
        word, name = tokens[place], tokens[place + 1]
        if word.kind == "keyword" and name.kind == "identifier" and text[word.begin : word.end].upper() == b"FORMAT":
            chosen = text[name.begin : name.end].decode().strip('`"')
            head, tail = text[: word.begin].decode(), text[name.end : end].decode()
            return Directed(head, _check_format(chosen), tail + rest)
    return Directed(text[:end].decode() + rest, _check_format(format), "")


def check_tree(tree: str, refused: frozenset[str]) -> str:
    """The root's kind. Raise DoorError unless `tree`, EXPLAIN AST's answer, only reads tables."""
    root = re.match(r"\w+", tree)
    if root is None:
        raise refuse("what cannot be parsed")
    for line in tree.splitlines():
        node = NODE.match(line)
        if node is None:
            continue
        depth, kind, name = len(node[1]), node[2], node[3] or ""
        if depth == 0 and kind not in ROOTS:
            raise refuse(kind)
        if kind == "Function" and name.lower() in refused:
            raise refuse(f"function {name}")
    return root[0]


def check_destination(tree: str) -> None:
    """Raise DoorError unless the answer of the statement as a whole goes to NOWHERE."""
    if len(NOWHERE_NODE.findall(tree)) != 1:
        raise refuse("a statement whose own answer has no place for a FORMAT")


def check_text(lexed: str) -> None:
    """Raise DoorError unless `lexed`, a text without its comments and literals, is one statement."""
    if ";" in lexed.strip().rstrip(";"):
        raise DoorError(SYNTAX_ERROR, "one statement at a time (SYNTAX_ERROR)")
    if OUTFILE.search(lexed):
        raise refuse("INTO OUTFILE")


def check_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Those for the engine, with no limit loosened beyond what can be asked for. Raises DoorError."""
    unknown = sorted(name for name in settings if name not in SETTINGS | DOOR_SETTINGS)
    if unknown:
        allowed = ", ".join(sorted(SETTINGS))
        raise DoorError(READONLY, f"setting {unknown[0]} cannot be changed here; allowed are {allowed}")
    kept = {name: str(limit.usual) for name, limit in LIMITS.items()}
    kept |= {name: value for name, value in settings.items() if name in SETTINGS}
    return kept | {name: _within(kept[name], limit) for name, limit in LIMITS.items()}


def refuse(what: str) -> DoorError:
    return DoorError(READONLY, f"this door is for reading: {what} is refused (READONLY)")


def _within(text: str, limit: Limit) -> str:
    """`text` as far as it goes; 0 would mean no limit."""
    asked = int(text) if text.isascii() and text.isdigit() else 0
    return str(asked if 0 < asked <= limit.most else limit.most)


def _check_format(name: str) -> str:
    if not re.fullmatch(r"\w{1,64}", name, re.ASCII):
        raise DoorError(UNKNOWN_FORMAT, "Unknown format (UNKNOWN_FORMAT)")
    return name
