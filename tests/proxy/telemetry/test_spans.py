from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell import conventions as c
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.call import Call, Message, begin_call
from spanwell_proxy.failures import CLIENT_GONE, ApiError
from spanwell_proxy.telemetry.spans import Batch, is_error


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
        batch.add(each, with_texts=True)
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


@pytest.mark.parametrize(("begun", "error"), [(True, False), (False, True)])
def test_leaving_is_an_error_only_for_one_who_waited_in_vain(begun: bool, error: bool) -> None:
    left = call(gone=True, replied=begun, failure=ApiError(499, CLIENT_GONE, "left"))

    assert is_error(left) is error
