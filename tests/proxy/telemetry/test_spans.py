from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell import conventions as c
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.call import Call, Message, begin_call
from spanwell_proxy.failures import CLIENT_GONE, ApiError
from spanwell_proxy.telemetry.spans import Batch, is_error
from tests.proxy.backend import SECRET, Backend
from tests.proxy.gateway import ASK, Proxy
from tests.proxy.sink import Sink

ONES: list[dict[str, Any]] = [{"model": "a"}, {"model": "a"}, {"model": "a", "release": "2"}, {"model": "b"}]


async def receive() -> Message:
    return {}


async def send(message: Message) -> None:
    pass


def call(**facts: Any) -> Call:
    made = begin_call(CHAT, {}, receive, send)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def encoded(*calls: Call) -> list[dict[str, str]]:
    batch = Batch()
    for each in calls:
        batch.add(each, keep_text=lambda text, _: text)
    request = ExportTraceServiceRequest.FromString(batch.encode({}))
    spans = request.resource_spans[0].scope_spans[0].spans
    return [{pair.key: pair.value.string_value for pair in span.attributes} for span in spans]


@pytest.mark.parametrize(
    "completion",
    [
        {"choices": [{"message": {"content": 3}, "finish_reason": {}}], "id": 7, "model": ["x"]},
        {"choices": [{"message": {"content": [{"type": "text", "text": "hi"}]}}]},
        {"choices": []},
    ],
)
def test_whatever_a_backend_sends_becomes_a_span(completion: dict[str, Any]) -> None:
    assert len(encoded(call(document=completion))) == 1


def test_messages_that_are_nested_too_deeply_are_left_out() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]

    (span,) = encoded(call(request={"messages": deep}))

    assert c.INPUT_MESSAGES not in span


def test_what_cannot_be_told_leaves_the_others_alone() -> None:
    spans = encoded(call(model="a"), call(model="b", started_ns=-1), call(model="c"))

    assert [span[c.REQUEST_MODEL] for span in spans] == ["a", "c"]


def test_calls_that_differ_in_one_thing_differ_in_that_alone() -> None:
    first, again, other, renamed = encoded(
        *(call(request_id="r", **{"app": "a", "release": "1"} | one) for one in ONES)
    )

    assert first == again
    assert {name for name in first if first[name] != other[name]} == {c.RELEASE}
    assert {name for name in first if first[name] != renamed[name]} == {c.REQUEST_MODEL}


@pytest.mark.parametrize(("begun", "error"), [(True, False), (False, True)])
def test_leaving_is_an_error_only_for_one_who_waited_in_vain(begun: bool, error: bool) -> None:
    left = call(gone=True, replied=begun, failure=ApiError(499, CLIENT_GONE, "left"))

    assert is_error(left) is error


async def test_every_attempt_is_a_span_beneath_its_call(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    backend.moods.extend(["500", "well"])

    await proxy.post()

    (whole,) = await sink.wait(1)
    first, second = sink.attempts
    assert [(one.name, one.parent_id, one.trace_id) for one in (first, second)] == [
        ("attempt 1", whole.span_id, whole.trace_id),
        ("attempt 2", whole.span_id, whole.trace_id),
    ]
    assert (first.error, first.attributes[c.ERROR_TYPE], first.attributes[c.ATTEMPT_STATUS]) == (
        True,
        "upstream_500",
        500,
    )
    assert (second.error, second.attributes[c.ATTEMPT_WHY], second.attributes[c.ATTEMPT_STATUS]) == (
        False,
        "retry",
        200,
    )
    assert (whole.error, whole.attributes[c.ATTEMPTS]) == (False, 2)


async def test_what_is_no_call_of_a_model_has_a_name_and_no_operation(proxy: Proxy, sink: Sink) -> None:
    await proxy.post({"model": "fox", "messages": [{"role": "user", "content": "x"}]}, "/v1/messages/count_tokens")
    (span,) = await sink.wait(1)

    assert (span.name, span.attributes.get(c.OPERATION)) == ("count_tokens fox", None)


async def test_the_backend_is_told_the_span_of_the_attempt(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    await proxy.post()

    (whole,) = await sink.wait(1)
    (attempt,) = sink.attempts
    assert backend.headers[0]["traceparent"].split("-")[1:3] == [whole.trace_id, attempt.span_id]


async def test_an_attempt_is_no_call_and_its_tokens_are_its_own(proxy: Proxy, sink: Sink) -> None:
    await proxy.post()

    await sink.wait(1)
    attributes = sink.attempts[0].attributes
    assert not [name for name in attributes if name.startswith("gen_ai.")]
    assert c.COST_USD not in attributes


async def test_an_attempt_says_nothing_secret(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    backend.moods.extend(["500", "500"])

    await proxy.post()

    await sink.wait(1)
    assert "[SECRET]" in sink.attempts[0].message
    assert SECRET not in str(sink.attempts)


async def test_what_a_request_says_of_itself_is_on_its_span(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    said = {"tags": ["a", "b", 3, " a "], "tier": "gold", "release": "1.2", "prompt_name": "greet", "topic": "foxes"}

    await proxy.post(ASK | {"metadata": said}, x_spanwell_release="1.3", x_spanwell_prompt_version="7")

    (span,) = await sink.wait(1)
    names = (c.TAGS, c.TIER, c.RELEASE, c.PROMPT_NAME, c.PROMPT_VERSION)
    assert [span.attributes[name] for name in names] == ['["a","b"]', "gold", "1.3", "greet", "7"]
    assert backend.requests[0]["metadata"] == {"topic": "foxes"}


async def test_tags_come_in_a_header_too(proxy: Proxy, sink: Sink) -> None:
    await proxy.post(x_spanwell_tags="blue, red,,blue")

    (span,) = await sink.wait(1)
    assert span.attributes[c.TAGS] == '["blue","red"]'


async def test_why_a_deployment_was_chosen_is_on_the_span(proxy: Proxy, sink: Sink) -> None:
    await proxy.post()

    (span,) = await sink.wait(1)
    assert (span.attributes[c.ROUTE_STRATEGY], span.attributes[c.ROUTE_PROBABILITY]) == ("weighted", 1.0)
