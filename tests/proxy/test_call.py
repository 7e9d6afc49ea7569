from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.call import DRAWN_BYTES, Message, begin_call


async def receive() -> Message:
    return {}


async def send(_: Message) -> None:
    return None


def test_no_two_calls_share_an_id_however_many_are_drawn_at_once() -> None:
    count = DRAWN_BYTES // 10

    calls = [begin_call(CHAT, {}, receive, send) for _ in range(count)]

    ids = {one for call in calls for one in (call.trace_id, call.span_id, call.request_id)}
    assert len(ids) == 3 * count
    assert {(len(call.trace_id), len(call.span_id), len(call.request_id)) for call in calls} == {(16, 8, 32)}
