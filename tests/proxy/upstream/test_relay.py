import time

import pytest

from spanwell.config import Config
from spanwell.pricing import PriceTable
from spanwell_proxy.apis.audio import SPEECH
from spanwell_proxy.apis.raw_stream import RawReader
from spanwell_proxy.call import Attempt, Message, begin_call
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.failures import ApiError
from spanwell_proxy.guarded import Guarded, block
from spanwell_proxy.upstream.connection import Connection
from spanwell_proxy.upstream.fetching import Arrival, Patience
from spanwell_proxy.upstream.relay import relay


class Sound(Connection):
    """An answer that goes on and on."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


async def receive() -> Message:
    return {}


async def send(_: Message) -> None:
    return None


async def refuse() -> None:
    raise block("rude", "input", {"rude": 1})


async def test_a_stream_that_a_guard_keeps_from_the_client_is_closed() -> None:
    params = {"model": "hosted_vllm/tiny", "api_base": "http://gpu/v1", "api_key": "k"}
    routes = read_routes(Config(model_list=[{"model_name": "fox", "litellm_params": params}]), PriceTable())
    call, sound = begin_call(SPEECH, {}, receive, send), Sound()
    call.guarded = Guarded(wait=refuse)
    patience = Patience(*[time.monotonic() + 9] * 6)

    with pytest.raises(ApiError, match="rude"):
        await relay(
            call,
            Attempt(routes.deployments["fox"][0], "first", bytes(8), time.perf_counter()),
            Arrival(sound, time.perf_counter(), patience, reader=RawReader(), held=b"x"),
        )

    assert sound.closed == 1
