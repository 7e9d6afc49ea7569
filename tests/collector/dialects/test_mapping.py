"""The table is checked when it is read, and an error says where it is wrong."""

import pytest

from spanwell import conventions as c
from spanwell.errors import ConfigError
from spanwell_collector.dialects.mapping import list_sources, load_mapping, look_up, say


def test_the_first_source_that_is_present_wins() -> None:
    target = load_mapping()[c.INPUT_TOKENS]

    assert look_up(target, {"llm.token_count.prompt": 7, "gen_ai.usage.prompt_tokens": 8}) == 8
    assert look_up(target, {"llm.token_count.prompt": 7, c.INPUT_TOKENS: 0}) == 0
    assert look_up(target, {"other": 1}) is None


@pytest.mark.parametrize(
    ("word", "ours"),
    [("LLM", "chat"), ("ai.streamText.doStream", "chat"), ("CHAIN", ""), ("plan", "plan"), ("Tool", "execute_tool")],
)
def test_an_operation_is_said_in_our_words(word: str, ours: str) -> None:
    assert say(load_mapping()[c.OPERATION], word) == ours


def test_every_source_is_there_once_for_an_attribute() -> None:
    for target in load_mapping().values():
        texts = [(str(source), source.only) for source in target.sources]

        assert len(texts) == len(set(texts)), target.name


def test_no_source_is_a_name_of_ours_for_something_else() -> None:
    mapping = load_mapping()

    assert not {source.name for _, _, source in list_sources(mapping) if not source.path} & mapping.keys()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gen_ai.request.modle: {from: [a]}", "line 1: 'gen_ai.request.modle' is no name"),
        ("\nuser.id: {form: [a]}", "line 2: user.id: 'form' is none of from, list, words"),
        ("user.id: {words: {a: b}}", "line 1: user.id: from: a list"),
        ("user.id:\n  from:\n    - {from: a, only: latin}", "line 3: only: 'latin' is none of"),
        ("user.id: {from: [{from: a, unit: hours}]}", "unit: 'hours' is none of ms"),
        ("user.id: {from: [{from: a -> b, unit: ms}]}", "a path into JSON has neither unit nor only"),
        ("user.id: {from: ['a -> b..c']}", "a source is `name`"),
        ("user.id: {from: [{unit: ms}]}", "a source needs the name"),
        ("user.id: {from: [[a]]}", "from: names and values are needed"),
        ("user.id: {from: [a]}\nsession.id: {from: [a]}", "session.id: from: 'a' feeds user.id already"),
        ("user.id: {from: [session.id]}\nsession.id: {from: [a]}", "'session.id' feeds session.id already"),
        ("user.id: {from: [a]}\nuser.id: {from: [b]}", "line 2: mapping: 'user.id' is there twice"),
        ("- a", "mapping: names and values are needed"),
        ("", "mapping: names and values are needed"),
        ("user.id: [", "mapping: while parsing"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_mapping(text)

    assert complaint in str(error.value)
