"""A span is as large as its sender likes, a row is not; what is cut is counted."""

import json
from typing import Any

import pytest

from spanwell import conventions as c
from spanwell_collector import telemetry
from spanwell_collector.dialects import bounds
from spanwell_collector.dialects.refine import needs_refining
from spanwell_collector.dialects.values import read_attributes
from tests.collector.dialects.spans import add_event, fill, make_source, refined, span_of


def count(kind: str) -> float:
    return telemetry.REGISTRY.get_sample_value("spanwell_cut_total", {"kind": kind}) or 0


def test_of_too_many_attributes_ours_are_kept() -> None:
    before = count("attribute_count")

    made = refined(
        make_source({**{f"a{index}": index for index in range(300)}, c.REQUEST_MODEL: "m"}, scope="spanwell")
    )

    assert len(made) == bounds.MOST_ATTRIBUTES
    assert made[c.REQUEST_MODEL] == "m"
    assert count("attribute_count") - before == 45


def test_a_long_value_says_how_much_of_it_went() -> None:
    made = refined(make_source({"long": "x" * 100_000}))

    assert made["long"].endswith("x [34464 characters cut]")
    assert len(made["long"]) < 66_000


def test_long_messages_are_still_messages() -> None:
    messages = [
        {"role": "user", "parts": [{"type": "text", "content": "y" * 3_000_000}]},
        {"role": "user", "parts": []},
    ]

    made = json.loads(refined(make_source({c.INPUT_MESSAGES: json.dumps(messages)}))[c.INPUT_MESSAGES])

    assert made[0]["parts"][0]["content"].endswith("y [2934464 characters cut]")
    assert made[1] == messages[1]


@pytest.mark.parametrize("scope", ["app", "spanwell"])
def test_a_long_list_is_cut_as_the_json_text_that_it_becomes(scope: str) -> None:
    made = refined(make_source({"list": ["x" * 50_000] * 2}, scope=scope))

    assert made["list"].startswith('["xxx')
    assert made["list"].endswith("x [34471 characters cut]")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"role": "user", "parts": [{"type": "text", "content": "y"}] * 60_000}]),
        "[" * 900 + '"' + "z" * 2_000_000 + '"' + "]" * 900,
    ],
)
def test_messages_that_cannot_be_shortened_are_one_message_with_their_beginning(text: str) -> None:
    made = json.loads(refined(make_source({c.INPUT_MESSAGES: text}, scope="spanwell"))[c.INPUT_MESSAGES])

    ((part,),) = (message["parts"] for message in made)
    assert part["content"].startswith(text[:1000])
    assert part["content"].endswith("characters cut]")


def test_a_long_text_of_a_tool_is_still_json() -> None:
    made = refined(make_source({"openinference.span.kind": "TOOL", "input.value": "x" * 2_000_000}))

    assert json.loads(made[c.INPUT]).endswith("x [1934464 characters cut]")


def test_of_too_many_messages_the_first_and_the_last_are_kept() -> None:
    messages = [{"role": "user", "parts": [{"type": "text", "content": f"{index}"}]} for index in range(40_000)]

    made = json.loads(refined(make_source({c.INPUT_MESSAGES: json.dumps(messages)}))[c.INPUT_MESSAGES])

    assert (made[0], made[-1]) == (messages[0], messages[-1])
    assert made[64]["parts"][0]["content"] == "[39872 messages cut]"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"a\nb\x00": 1}, {"ab": 1}),
        ({"": 1}, {}),
        ({"\x07": 1}, {}),
        ({"k" * 1_000_000: 1}, {"k" * 256: 1}),
        ({"__proto__": 1}, {"__proto__": 1}),
    ],
)
def test_a_hostile_key_is_cleaned(sent: dict[str, Any], kept: dict[str, Any]) -> None:
    assert refined(make_source(sent)) == {c.DIALECT: "otel", **kept}


def test_events_have_bounds_too() -> None:
    source = make_source({})
    for _ in range(200):
        add_event(source, "e" * 5000, {"": "no name", "stack": "z" * 70_000})

    refined(source)

    events = span_of(source).events
    assert len(events) == bounds.MOST_EVENTS
    assert len(events[0].name) < 1100
    assert [pair.key for pair in events[0].attributes] == ["stack"]
    assert events[0].attributes[0].value.string_value.endswith("[4464 characters cut]")


def test_a_resource_is_cut_short_for_it_is_stored_with_every_span() -> None:
    source = make_source({})
    source.resource.attributes.add(key="process.command_args").value.string_value = "x" * 10_000

    refined(source)

    assert len(source.resource.attributes[0].value.string_value) < 4200


def test_lists_of_a_resource_and_of_an_event_become_json_text() -> None:
    source = make_source({})
    fill(source.resource.attributes.add(key="process.command_args").value, ["python", "-m", "shop"])
    add_event(source, "retrieved", {"ids": [1, 2], "best": {"score": 0.5}})

    refined(source)

    (event,) = span_of(source).events
    assert read_attributes(source.resource.attributes) == {"process.command_args": '["python","-m","shop"]'}
    assert read_attributes(event.attributes) == {"ids": "[1,2]", "best": '{"score":0.5}'}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [({"a": "x" * 2000}, False), ({"a": "x" * 70_000}, True), ({f"a{index}": 1 for index in range(257)}, True)],
)
def test_a_span_of_ours_is_looked_at_only_when_it_may_be_out_of_bounds(
    attributes: dict[str, Any], expected: bool
) -> None:
    ours, theirs = make_source(attributes, scope="spanwell.proxy"), make_source(attributes, scope="app")

    assert needs_refining(ours, span_of(ours).ByteSize()) is expected
    assert needs_refining(theirs, span_of(theirs).ByteSize())
