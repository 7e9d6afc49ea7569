"""What limits cost a call: reserve and settle of a key with a budget, a rate of requests and one of tokens, in memory.

.venv/bin/python -m tests.bench.proxy_limits
"""

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from spanwell.config import Config
from spanwell.pricing import PriceTable, Usage
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.call import Call, begin_call
from spanwell_proxy.caller import PUSD, Budget, Caller, Limits
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.config.routes import Routes
from spanwell_proxy.gateway import group_deployments
from spanwell_proxy.limits.engine import Engine
from spanwell_proxy.limits.limiter import Limiter
from spanwell_proxy.limits.settings import LimitSettings
from spanwell_proxy.limits.sqlite import SqliteLimits
from spanwell_proxy.limits.steps import reserve_limits, settle_limits
from spanwell_proxy.serving.workers import GC_THRESHOLD

CALLS = 50_000
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "x" * 1000}], "max_tokens": 100}
PARAMS = {"model": "openai/m", "api_base": "http://127.0.0.1:1/v1", "input_cost_per_token": 1e-6}
MODEL = {"model_name": "m", "litellm_params": PARAMS | {"output_cost_per_token": 2e-6}}
LIMITED = Limits((Budget("day", 10**6 * PUSD),), rpm=10**9, tpm=10**12)


@dataclass
class Gateway:
    """As much of one as the steps of limits use."""

    limits: Limiter
    routes: Routes
    find_group: Callable[[str], Any]
    guards: None = None


async def receive() -> dict[str, Any]:
    return {}


async def send(_: Any) -> None:
    return


def make_call(caller: Caller) -> Call:
    call = begin_call(CHAT, {}, receive, send)
    call.caller, call.request, call.body = caller, REQUEST, orjson.dumps(REQUEST)
    call.model = call.target = "m"
    return call


async def measure(gateway: Gateway, caller: Caller) -> float:
    """CPU microseconds a call, of this process with all its threads."""
    calls = [make_call(caller) for _ in range(CALLS)]
    usage, cost_usd = Usage(input=250, output=20), Decimal("0.00029")
    gc.freeze()
    began = time.process_time()
    for at, call in enumerate(calls):
        await reserve_limits(call, gateway)
        call.usage, call.cost_usd = usage, cost_usd
        settle_limits(call, gateway)
        if at % 500 == 0:
            await asyncio.sleep(0)  # let the book be told
    return (time.process_time() - began) / CALLS * 1e6


async def main() -> None:
    gc.set_threshold(*GC_THRESHOLD)
    routes = read_routes(Config(model_list=[MODEL]), PriceTable())
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(SqliteLimits(Path(folder) / "state.db"))
        gateway = Gateway(Limiter(engine, LimitSettings()), routes, group_deployments(routes))
        running = asyncio.create_task(engine.run())
        for name, caller in (
            ("no key", Caller()),
            ("key, only counted", Caller("k0")),
            ("key with budget, rpm and tpm", Caller("k1", limits={"key": LIMITED})),
            ("key and team, each with all three", Caller("k2", team="t", limits={"key": LIMITED, "team": LIMITED})),
        ):
            sys.stdout.write(f"{name:36} {await measure(gateway, caller):6.1f} us of CPU a call\n")
        running.cancel()
        await asyncio.wait((running,))
        await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
