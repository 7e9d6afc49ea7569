"""Patterns are RE2's: linear where others explode, and told at start where they are no patterns."""

import time

import pytest

from spanwell.errors import ConfigError
from spanwell_proxy.guards.words import compile_patterns, find_words


def test_places_are_counted_in_characters() -> None:
    finder = find_words(compile_patterns({"bird": "blue ?bird", "cat": "кот"}, "here"))
    text = "ein schöner BlueBird 🎉 и КОТ"

    assert [(one.kind, text[one.start : one.end]) for one in finder.find(text)] == [
        ("bird", "BlueBird"),
        ("cat", "КОТ"),
    ]


def test_a_pattern_that_explodes_elsewhere_is_linear() -> None:
    finder = find_words(compile_patterns({"evil": r"(a+)+$", "worse": r"(\w+\s?)*:"}, "here"))
    times = []
    for length in (50_000, 200_000):
        started = time.process_time()
        finder.find("a" * length + "!")
        times.append(time.process_time() - started)

    assert times[1] < 1
    assert times[1] < 12 * max(times[0], 0.002)


@pytest.mark.parametrize("pattern", ["(", r"(?=x)", r"(a)\1", "a{2000}"])
def test_what_is_no_pattern_is_told(pattern: str) -> None:
    with pytest.raises(ConfigError, match="here"):
        compile_patterns({"x": pattern}, "here")


def test_a_pattern_that_matches_nothing_finds_nothing() -> None:
    assert find_words(compile_patterns({"x": "x*"}, "here")).find("abc \ud800") == []
