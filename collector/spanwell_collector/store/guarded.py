"""Runs strangers' SQL on the embedded engine, where it can read tables and do nothing else.

The engine's `readonly = 1` refuses writes, but not `INTO OUTFILE`, the function file(), python() or KILL QUERY. So each
statement is first parsed by the engine itself (EXPLAIN AST) and only a tree of known roots and functions may run. Two
things must not reach that EXPLAIN: INTO OUTFILE, which would write the tree to the file, and text that makes EXPLAIN
the name of a column (`, file('/etc/passwd') FROM (SELECT 1 AS EXPLAIN)`), which is why implicit_select is off.
"""

import re
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from spanwell_collector.store.guard import (
    ASK_SETTINGS,
    FUNCTIONS_NAMED_ALIKE,
    INSERT,
    NOWHERE,
    REFUSED_FUNCTIONS,
    REWRITTEN,
    SHOW_SETTINGS,
    TABLE_FUNCTIONS,
    Directed,
    DoorError,
    Token,
    check_destination,
    check_settings,
    check_text,
    check_tree,
    direct,
    refuse,
)
from spanwell_collector.store.piped import Cost, Killer, Piped, Sink, connect, run
from spanwell_collector.store.statements import quote_text

CODE: Final = re.compile(r"Code: (\d+)")
SAME_ID_RUNS: Final = 216
SMALL_GROUPS: Final = {  # of Parquet, which keeps several in memory
    "output_format_parquet_row_group_size": "100000",
    "output_format_parquet_row_group_size_bytes": "64000000",
}
# Without comments and literals, and word by word.
LEXED: Final = """
SELECT toJSONString(
    (normalizeQuery({sql:String}), arrayMap(t -> (t.1, t.2, toString(t.3)), highlightQuery({sql:String}))))
"""


class Question(NamedTuple):
    """One statement and what it runs with; `parameters` are as ClickHouse's HTTP interface takes them."""

    sql: str
    format: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    database: str


class Statement:
    """A question that is being answered. `id` is its own among those under way; `owner` asked it."""

    def __init__(self, engine: "GuardedEngine", question: Question, id: str, owner: str) -> None:
        self.id, self.owner, self.sql = id, owner, question.sql
        self.format = question.format  # the one it names itself is known once something was read
        self._engine = engine
        self._question = question
        self._piped = Piped(self._work, lambda: engine.kill(id))

    @property
    def has_ended(self) -> bool:
        return self._piped.has_ended

    def read(self) -> bytes:
        """The next piece of the answer; empty at its end. Raises DoorError. Blocks."""
        try:
            return self._piped.read()
        except RuntimeError as error:
            raise as_door_error(error) from error

    def cost(self) -> Cost:
        """What it took; known when `read` has come to the end."""
        return self._piped.cost()

    def abandon(self) -> None:
        """End it, if it has not. Blocks for as long as that takes, which is a block of rows at most."""
        self._piped.abandon()

    def _work(self, sink: Sink) -> Cost:
        try:
            with closing(connect(self._engine.path)) as connection:
                root, directed = self._engine.admit(connection, self._question, self.id)
                self.format = directed.format
                sql = directed.to() if root in REWRITTEN else directed.to(sink.clause)
                cost, body = run(connection, sql, dict(self._question.parameters), directed.format)
            sink.write(body)
            return cost
        finally:
            self._engine.forget(self)


class GuardedEngine:
    """The engine in `path`, which this process has opened already."""

    def __init__(self, path: Path) -> None:
        self.path = str(path.resolve())
        self._killer = Killer(self.path)
        self._lock = threading.Lock()
        self._running: dict[str, Statement] = {}
        with closing(connect(self.path)) as connection:
            names = _ask(connection, REFUSED_FUNCTIONS).split()
        self._refused = frozenset(names) - TABLE_FUNCTIONS - FUNCTIONS_NAMED_ALIKE

    def close(self) -> None:
        """End every statement that is under way; nobody asks any more."""
        for statement in self.list_running():
            statement.abandon()
        self._killer.close()

    def start(self, question: Question, id: str, owner: str) -> Statement:
        """Begin to answer. What is wrong with the question is raised by the statement's `read`."""
        question = question._replace(sql=ASK_SETTINGS.sub(SHOW_SETTINGS, question.sql))
        with self._lock:
            if id in self._running:
                raise DoorError(
                    SAME_ID_RUNS, f"Query with id = {id} is already running (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)"
                )
            statement = self._running[id] = Statement(self, question, id, owner)
        return statement

    def list_running(self) -> list[Statement]:
        with self._lock:
            return list(self._running.values())

    def forget(self, statement: Statement) -> None:
        with self._lock:
            self._running.pop(statement.id, None)

    def kill(self, id: str) -> None:
        self._killer.kill(id)

    def admit(self, connection: Any, question: Question, tag: str) -> tuple[str, Directed]:
        """Make `connection` fit for the question, and the question for running. Raises DoorError.

        Returns what kind of statement it is, too.
        """
        if INSERT.match(question.sql):  # its data may be binary, which the parser would stumble over first
            raise refuse("INSERT")
        settings = check_settings(question.settings)
        if question.database:
            connection.query(f"USE {_quote_name(question.database)}", "Null")
        settings |= {"log_comment": tag, "implicit_select": "0", "readonly": "1", **SMALL_GROUPS}
        assignments = ", ".join(f"{name} = {quote_text(value)}" for name, value in settings.items())
        connection.query(f"SET {assignments}", "Null")
        return self._check(connection, question)

    def _check(self, connection: Any, question: Question) -> tuple[str, Directed]:
        text, tokens = orjson.loads(_ask(connection, LEXED, sql=question.sql))
        check_text(text)
        directed = direct(question.sql, [Token(*token) for token in tokens], question.format)
        tree = connection.query(
            f"EXPLAIN AST {directed.to(NOWHERE)}", "TabSeparatedRaw", params=dict(question.parameters)
        )
        drawn = tree.bytes().decode()
        root = check_tree(drawn, self._refused)
        check_destination(drawn)
        return root, directed


def as_door_error(error: RuntimeError) -> DoorError:
    text = str(error)
    code = CODE.search(text)
    message = text[code.end() :].removeprefix(". DB::Exception: ") if code else text
    return DoorError(int(code[1]) if code else 1002, message.strip())


def _ask(connection: Any, question: str, **parameters: str) -> str:
    bound = {name: escape(value) for name, value in parameters.items()}
    return str(connection.query(question, "TabSeparatedRaw", params=bound).bytes().decode())


def _quote_name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def escape(text: str) -> str:
    """`text` as the value of a parameter, which the engine reads as it reads TabSeparated."""
    return (
        text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r").replace("\0", "\\0")
    )
