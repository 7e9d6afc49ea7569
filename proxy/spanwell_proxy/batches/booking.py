"""Makes calls of lines that a provider answers in its own batch: what they may cost, did cost, and one span of each."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Final

import orjson

from spanwell_proxy.access.keys import OPERATOR
from spanwell_proxy.apis.api import Api, BrokenAnswerError
from spanwell_proxy.apis.paths import find_api
from spanwell_proxy.batches.lines import Line, Result
from spanwell_proxy.body import parse_body
from spanwell_proxy.call import Attempt, Call
from spanwell_proxy.caller import Caller
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.experiments.steps import direct
from spanwell_proxy.failures import ApiError
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.limited import Limited
from spanwell_proxy.limits.account import Account
from spanwell_proxy.limits.engine import AwayError, Engine
from spanwell_proxy.limits.steps import list_costs
from spanwell_proxy.orders import Answered, Exchange, Order, take_order
from spanwell_proxy.replies import JSON, reply, reply_error
from spanwell_proxy.steps import settle
from spanwell_proxy.stored.steps import note_origin
from spanwell_proxy.upstream.accounting import charge
from spanwell_proxy.upstream.fetching import explain
from spanwell_proxy.upstream.refusals import read_failure

TIER: Final = "batch"
HANDED_APIS: Final = ("chat", "completions", "embeddings", "responses", "moderations")  # that OpenAI's batches take

Needs = list[tuple[Account, int]]


class Deposit:
    """What was set aside of budgets for lines that are not booked yet."""

    def __init__(self, engine: Engine, needs: dict[Account, int]) -> None:
        self._engine = engine
        self._left = needs

    def take(self, needs: Iterable[tuple[Account, int]]) -> Needs:
        """The part of one line: no more than it may cost, and than is left."""
        taken = []
        for account, amount in needs:
            part = min(amount, self._left.get(account, 0))
            self._left[account] = self._left.get(account, 0) - part
            taken.append((account, part))
        return taken

    def give_back(self) -> None:
        self._engine.settle([one for one in self._left.items() if one[1]], {})
        self._left = {}


@dataclass(frozen=True)
class Told:
    """An answer as a provider's file tells it."""

    status: int

    def header(self, _: str) -> str:
        return ""

    async def read(self, _: float = inf) -> bytes:
        return b""

    async def read_some(self, _: float = inf) -> bytes:
        return b""

    def close(self) -> None:
        """There is no connection."""

    def leave(self) -> None:
        """Nor here."""


def find_caller(gateway: Gateway, owner: str) -> Caller | None:
    """Whoever made a batch; None where the key is blocked, expired or gone."""
    caller = gateway.keys.find_owner(owner) if owner else OPERATOR
    is_over = caller is None or (caller.expires_at or inf) <= gateway.limits.engine.now()
    return None if is_over else caller


def find_handed_api(endpoint: str) -> Api | None:
    """The API of a batch that a provider may take."""
    api = find_api(endpoint)
    return api if api and api.name in HANDED_APIS else None


def find_taker(gateway: Gateway, model: str, api: Api) -> Deployment | None:
    """The deployment that takes whole batches of a model; None where a line needs what only the gateway does."""
    group = gateway.find_group(model)
    if (gateway.guards and gateway.guards.find(model)) or model in gateway.trials.experiments:
        return None
    if len(group) > 1 and gateway.find_policy(model).narrows:
        return None
    if not all(one.deployment.batch_api and api.name in one.deployment.speaks for one in group):
        return None
    return next((one.deployment for one in group if not one.facts.is_drained), None)


async def begin_line(gateway: Gateway, caller: Caller, api: Api, line: Line) -> tuple[Call, Exchange]:
    """The call that a line is. Raises ApiError 400."""
    call, exchange = take_order(Order(api, orjson.dumps(line.body), caller))
    call.body = orjson.dumps(line.body)
    parse_body(call)
    await direct(call, gateway)
    call.joined = None  # of an experiment that was begun since
    return call, exchange


def is_fit(call: Call) -> bool:
    """Whether any backend of the model may answer it, and does so at once."""
    goes_on = call.api.goes_on_with is not None and bool(call.api.goes_on_with(call.request))
    return not goes_on and not call.request.get("background")


async def set_aside(gateway: Gateway, needs: dict[Account, int]) -> Deposit | None:
    """All that the lines may cost at most; None where budgets have no room for it, or a soft limit is reached."""
    limiter, accounts = gateway.limits, tuple(needs)
    try:
        await limiter.learn(accounts)
        if any(limiter.find_soft(accounts)) or await limiter.engine.reserve(list(needs.items())):
            return None
    except AwayError:
        return None
    return Deposit(limiter.engine, dict(needs))


async def book(
    call: Call, exchange: Exchange, gateway: Gateway, deployment: Deployment, result: Result, deposit: Deposit
) -> Answered:
    """Settle what a provider has answered a line with: its bill, its span, and what the owner reads."""
    tried = Attempt(deployment, "first", os.urandom(8), call.started, status=result.status)
    call.deployment, call.attempts = deployment, [tried]
    call.limited = Limited(needs=deposit.take(list_costs(call, gateway)))
    try:
        await _answer(call, tried, result)
    except ApiError as failure:
        call.failure = tried.failure = failure
        await reply_error(call, failure)
    tried.ended = time.perf_counter()
    note_origin(call, gateway)
    await settle(call, gateway)
    return exchange.answered(call)


async def _answer(call: Call, tried: Attempt, result: Result) -> None:
    if result.status >= 300:
        raise read_failure(tried.deployment, call.api.dialect, Told(result.status), result.body)
    try:
        # Its own word is `default`, whatever it charges.
        call.document = call.api.read(result.body) | {"service_tier": TIER}
    except BrokenAnswerError as error:
        raise explain(error, tried, "answer", retryable=False) from error
    call.answer = result.body
    charge(call, tried)
    await reply(call, 200, result.body, JSON)
