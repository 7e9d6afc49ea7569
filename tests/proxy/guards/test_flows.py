"""A text in pieces is changed as it would be whole, however it was cut, and little of it is held back."""

import time
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spanwell.masking import replace
from spanwell.pii import KINDS
from spanwell_proxy.guards.finding import Finder, find_credentials, find_persons, write_hash, write_kind
from spanwell_proxy.guards.flows import FindingFlow, Flow, Flows, RestoringFlow
from spanwell_proxy.guards.placeholders import Placeholders
from spanwell_proxy.guards.texts import Place
from spanwell_proxy.guards.words import compile_patterns, find_words

PERSONS = find_persons(frozenset(KINDS), write_kind)
SECRETS = find_credentials(write_kind)
WORDS = find_words(compile_patterns({"bird": "blue ?bird", "age": r"\d+ years"}, "test"))
FINDS = [
    "anna@example.com",
    "DE89 3704 0044 0532 0130 00",
    "GB29 NWBK 6016 1331 9268 19",
    "4111 1111 1111 1111",
    "+49 30 1234567",
    "(415) 555-2671",
    "123-45-6789",
    "8.8.8.8",
    "2001:4860:4860::8888",
    "sk-abcdefgh01234567",
    "Bearer abcdefgh01234567",
    "password: hunter2!x9Kq",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE ow==\n-----END RSA PRIVATE KEY-----",
    "blue bird",
    "42 years",
]
texts = st.lists(
    st.one_of(st.sampled_from(FINDS), st.text(max_size=30), st.sampled_from([" ", "\n", ", ", " 12 "]))
).map("".join)


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


def run(flow: Flow, pieces: list[str]) -> str:
    return "".join([*map(flow.push, pieces), flow.close()])


def flow_of(finder: Finder) -> FindingFlow:
    return FindingFlow(finder, lambda _: None)


@pytest.mark.parametrize("finder", [PERSONS, SECRETS, WORDS], ids=["persons", "secrets", "words"])
@settings(max_examples=200, deadline=None)
@given(text=texts, sizes=st.lists(st.integers(1, 20), max_size=200))
def test_pieces_are_changed_as_the_whole_is(finder: Finder, text: str, sizes: list[int]) -> None:
    whole = replace(text, finder.find(text), finder.write)

    assert run(flow_of(finder), cut(text, sizes)) == whole


@given(st.sampled_from(FINDS[:4]), st.text(max_size=50), st.lists(st.integers(1, 5), max_size=60))
@example("anna@example.com", "[EMAIL_", [1] * 60)
def test_what_was_taken_out_is_put_back(value: str, around: str, sizes: list[int]) -> None:
    placeholders, write = Placeholders(), write_hash(b"key")
    finder = find_persons(frozenset(KINDS), lambda one, found: placeholders.note(write(one, found), found))
    text = f"{around} {value} {around}"
    sent = replace(text, finder.find(text), finder.write)

    restored = run(RestoringFlow(placeholders, Place("assistant")), cut(sent, sizes))

    assert value not in sent
    assert restored == text


@pytest.mark.parametrize(
    ("finder", "text", "most"),
    [(PERSONS, "All is well in the town of N. ", 16), (PERSONS, "Call 12 34 ", 64), (SECRETS, "All is well, ", 6)],
)
def test_little_is_held_back(finder: Finder, text: str, most: int) -> None:
    flow, sent = flow_of(finder), 0

    for said, sign in enumerate(text * 30, 1):
        sent += len(flow.push(sign))
        assert said - sent <= most


def test_a_private_key_that_does_not_end_is_masked_all_the_same() -> None:
    text = "-----BEGIN PRIVATE KEY-----\n" + "MIIE ow==\n" * 30

    assert run(flow_of(SECRETS), list(text)) == "[PRIVATE_KEY]"


def test_flows_hand_on_what_they_let_go() -> None:
    placeholders = Placeholders()
    placeholders.note("[EMAIL_0123456789]", "anna@example.com")
    flows = Flows([flow_of(PERSONS), RestoringFlow(placeholders, Place("assistant"))])

    said = run(flows, list("bob@example.com and [EMAIL_0123456789]"))

    assert said == "[EMAIL] and anna@example.com"


@pytest.mark.parametrize("unit", ["1 ", "1", "AA11 ", "a", "-----BEGIN ", "eyJ.", "[EMAIL_0"])
@pytest.mark.parametrize("make", [lambda: flow_of(PERSONS), lambda: flow_of(SECRETS), lambda: flow_of(WORDS)])
def test_a_hostile_stream_costs_in_proportion_to_its_length(unit: str, make: Callable[[], Flow]) -> None:
    text = unit * (20_000 // len(unit))
    pieces, flow = cut(text, [8] * (len(text) // 8)), make()
    started = time.process_time()

    run(flow, pieces)

    assert time.process_time() - started < 4
