import math

import pytest

from spanwell_proxy.routing.facts import Facts


def test_a_peak_counts_at_once_and_is_forgotten_slowly() -> None:
    facts = Facts()

    facts.note_latency(100.0, 2.0, stream=False)
    facts.note_latency(110.0, 1.0, stream=False)

    assert facts.whole_s == pytest.approx(1.0 + math.exp(-1))


def test_streams_are_timed_apart_from_whole_answers() -> None:
    facts = Facts()

    facts.note_latency(100.0, 0.2, stream=True)

    assert (facts.first_s, facts.whole_s) == (0.2, 0.0)


def test_what_fails_fast_does_not_look_fast() -> None:
    facts = Facts()
    facts.begin()

    facts.end(100.0, 0.001, stream=False, failed=True)

    assert facts.whole_s == 1.0


def test_an_attempt_that_was_taken_back_leaves_nothing_but_its_place() -> None:
    facts = Facts()
    facts.begin()

    facts.end(100.0, None, stream=False, failed=False)

    assert (facts.in_flight, facts.whole_s, facts.error_rate) == (0, 0.0, 0.0)
