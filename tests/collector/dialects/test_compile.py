"""What the engine makes of attributes is what the table says."""

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell import conventions as c
from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.explain import explain
from spanwell_collector.dialects.mapping import Mappings
from spanwell_collector.dialects.refine import refine
from spanwell_collector.dialects.values import read_attributes
from spanwell_collector.store.client import Store

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.traces.pb"))
ASK = "SELECT {mapping} AS attrs FROM (SELECT {{names:Array(String)}} AS names, {{values:Array(String)}} AS values)"


@pytest.fixture(scope="module")
def question(mapping: Mappings) -> str:
    return ASK.format(mapping=render_mapping(mapping).replace("{", "{{").replace("}", "}}"))


def ask(store: Store, question: str, attributes: dict[str, Any]) -> dict[str, str]:
    """What the engine makes of `attributes`. A name that comes twice is a fault."""
    values = [str(value).lower() if isinstance(value, bool) else str(value) for value in attributes.values()]
    pairs = store.query(question, {"names": list(attributes), "values": values}).to_pylist()[0]["attrs"]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_the_first_source_that_is_filled_wins_and_all_of_them_go(store: Store, question: str) -> None:
    sent = {"llm.system": "openai", "llm.provider": "", "gen_ai.system": "Mistral", "a": "b"}

    assert ask(store, question, sent) == {c.PROVIDER: "mistral_ai", "a": "b"}


def test_an_attribute_that_has_our_name_wins_wherever_it_stands(store: Store, question: str) -> None:
    sent = {"gen_ai.usage.prompt_tokens": 8, c.INPUT_TOKENS: 9, "llm.token_count.prompt": 7}

    assert ask(store, question, sent) == {c.INPUT_TOKENS: "9"}


def test_a_value_inside_json_is_taken_and_the_json_stays(store: Store, question: str) -> None:
    usage = '{"prompt_tokens": 150, "prompt_tokens_details": {"cached_tokens": 20}}'

    made = ask(store, question, {"langfuse.observation.usage_details": usage})

    assert made == {c.INPUT_TOKENS: "150", c.CACHE_READ_TOKENS: "20", "langfuse.observation.usage_details": usage}


def test_json_that_is_none_says_nothing(store: Store, question: str) -> None:
    sent = {"langfuse.observation.usage_details": '{"prompt_tokens": ', "llm.token_count.prompt": "x'\\"}

    assert ask(store, question, sent) == {
        "langfuse.observation.usage_details": '{"prompt_tokens": ',
        c.INPUT_TOKENS: "x'\\",
    }


def test_milliseconds_become_seconds(store: Store, question: str) -> None:
    made = ask(store, question, {"ai.response.msToFirstChunk": "26.5"})

    assert made[c.TIME_TO_FIRST_CHUNK_S] == "0.0265"


def test_a_common_name_counts_in_its_dialect_alone(store: Store, question: str) -> None:
    sent = {"user_id": "ada", "temperature": "0.2"}

    assert ask(store, question, {c.DIALECT: "otel", **sent}) == {c.DIALECT: "otel", **sent}
    assert ask(store, question, {c.DIALECT: "logfire", **sent}) == {
        c.DIALECT: "logfire",
        c.USER_ID: "ada",
        "temperature": "0.2",
    }
    assert ask(store, question, {c.DIALECT: "mlflow", **sent}) == {
        c.DIALECT: "mlflow",
        "user_id": "ada",
        c.TEMPERATURE: "0.2",
    }


@pytest.mark.parametrize(
    ("sent", "ours"), [("tool-calls", "tool_calls"), ('["tool_use"]', '["tool_calls"]'), ('["stop","length"]',) * 2]
)
def test_a_word_counts_alone_in_a_list_too(store: Store, question: str, sent: str, ours: str) -> None:
    assert ask(store, question, {c.FINISH_REASONS: sent}) == {c.FINISH_REASONS: ours}


def test_a_word_for_nothing_leaves_nothing(store: Store, question: str) -> None:
    assert ask(store, question, {"openinference.span.kind": "CHAIN", "x": "1"}) == {"x": "1"}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name.partition(".")[0])
def test_python_explains_what_the_engine_does(store: Store, question: str, mapping: Mappings, path: Path) -> None:
    for source in ExportTraceServiceRequest.FromString(path.read_bytes()).resource_spans:
        refine(source, mapping)
        for span in (span for scope in source.scope_spans for span in scope.spans):
            attributes = read_attributes(span.attributes)
            made = ask(store, question, attributes)

            explained = {name: fact.value for name, fact in explain(mapping, attributes).items()}

            assert explained == {name: value for name, value in made.items() if name in mapping}


def test_the_expression_stays_short_enough_to_analyse_with_every_insert(mapping: Mappings) -> None:
    assert len(render_mapping(mapping)) < 24_000
