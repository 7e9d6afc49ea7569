"""Values of the host as bounded JSON text, whatever they are."""

import dataclasses
import json
import time
from collections import namedtuple
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from spanwell.payload import MAX_CHARS, Stream, to_attribute, to_text

Point = namedtuple("Point", "x y")


@dataclasses.dataclass
class Order:
    number: int
    api_key: str = "hidden"


@dataclasses.dataclass(slots=True)
class Slim:
    number: int


class Book(BaseModel):
    title: str
    tags: list[str] = []


class Colour(Enum):
    RED = 1


class Hostile:
    """Every door is a trap."""

    def __repr__(self) -> str:
        raise SystemExit

    __str__ = __repr__

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


class HostileDict(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError

    __iter__ = values = keys = __len__ = items


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, None, True, "x"]}, {"a": [1, 2.5, None, True, "x"]}),
        (Order(7), {"number": 7, "api_key": "[SECRET]"}),
        (Slim(7), {"number": 7}),
        (Book(title="tea"), {"title": "tea", "tags": []}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Colour.RED, "Colour.RED"),
        (Decimal("0.10"), "0.10"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (b"123", "<3 bytes>"),
        ({"n": float("nan"), "i": float("-inf")}, {"n": "nan", "i": "-inf"}),
        ([2**70, 10**5000], [2**70, "<int of 16610 bits>"]),
        ({1: "a", None: "b", Colour.RED: "c"}, {"1": "a", "None": "b", "Colour.RED": "c"}),
        ({"Password": "x", "deep": [{"TOKEN": "y"}]}, {"Password": "[SECRET]", "deep": [{"TOKEN": "[SECRET]"}]}),
        ("key sk-abcdefghijklmnopqrst", "key [SECRET]"),
        (HostileDict(a=1), {"a": 1}),
        ("\ud800", "?"),
        ("ü", "ü"),
        (json, "<module>"),
    ],
)
def test_a_value_is_written_as(value: object, expected: object) -> None:
    written = json.loads(to_text(value))

    assert written == expected


def test_hostile_objects_are_named_by_their_type() -> None:
    written = json.loads(to_text({"evil": Hostile(), "more": [Hostile()]}))

    assert [written["evil"], *written["more"]] == [f"<{__name__}.Hostile>"] * 2


def test_a_cycle_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)

    assert to_text(loop) == "[[[[[[[[" + '"<list>"' + "]]]]]]]]"


@pytest.mark.parametrize(
    "value",
    ["x" * 10**7, ["x" * 1000] * 10**5, {str(n): n for n in range(10**5)}, [[[[n] * 50] * 50] * 50 for n in range(9)]],
)
def test_size_and_time_are_bounded(value: object) -> None:
    started = time.process_time()

    text = to_text(value)

    assert len(text) < 2 * MAX_CHARS
    assert time.process_time() - started < 0.2


def test_a_long_text_says_how_much_is_missing() -> None:
    assert json.loads(to_text("x" * (MAX_CHARS + 5))).endswith("more characters")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_any_value_becomes_valid_json_and_utf8(value: object) -> None:
    json.loads(to_text(value).encode("utf-8"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (3, 3), (2.5, 2.5), ("x", "x"), (2**64, str(2**64)), ([1], "[1]"), (None, "null")],
)
def test_attributes_are_scalars_or_json(value: object, expected: object) -> None:
    assert to_attribute(value) == expected


def test_a_stream_of_strings_is_joined_and_others_are_listed() -> None:
    tokens, numbers = Stream(), Stream()
    for token in ("a", "b"):
        tokens.add(token)
    for item in ("a", 1):
        numbers.add(item)

    assert (tokens.to_text(), numbers.to_text()) == ('"ab"', '["a",1]')


def test_a_long_stream_is_bounded_and_counted() -> None:
    stream = Stream()
    for _ in range(10**5):
        stream.add("token ")

    assert len(stream.to_text()) < 2 * MAX_CHARS
    assert "more" in stream.to_text()[-20:]
