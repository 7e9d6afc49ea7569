"""Every attempt that a backend will charge for stands on the bill, once."""

from spanwell import conventions as c
from tests.proxy.gateway import ASK
from tests.proxy.sink import Sink
from tests.proxy.upstream.conftest import Scripted, leave

STREAM = ASK | {"stream": True}


async def test_a_client_that_leaves_the_winner_of_a_race_pays_for_both(scripted: Scripted, sink: Sink) -> None:
    resilience = {"models": {"fox": {"hedge_after": 0.05}}}
    scripts = {"fox/a": ["slow, then a stall"], "fox/b": ["slow, then a stall"]}
    async with scripted(scripts, resilience=resilience) as (proxy, _):
        await leave(proxy, STREAM, 0.6)
        (span,) = await sink.wait(1)

    paid = [one.attributes.get(c.ATTEMPT_INPUT_TOKENS, 0) for one in sink.attempts]
    assert len(paid) == 2
    assert min(paid) > 0
    assert span.attributes[c.INPUT_TOKENS] == sum(paid)
