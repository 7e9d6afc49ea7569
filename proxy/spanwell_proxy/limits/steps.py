"""The steps of a call that deal with limits: take what it may use at most, and give back what it did not use."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from spanwell_proxy.apis.usage import read_service_tier
from spanwell_proxy.call import Call
from spanwell_proxy.caller import NOBODY, PUSD
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.limited import Limited
from spanwell_proxy.limits.book import Account, Used
from spanwell_proxy.limits.engine import AwayError
from spanwell_proxy.limits.estimates import (
    LONG_INPUT_TOKENS,
    Rates,
    find_rates,
    most_pusd,
    to_pusd,
    usual_tokens,
)
from spanwell_proxy.limits.limiter import Accounts, Limiter
from spanwell_proxy.limits.wording import STATE_AWAY, list_headers, to_error

SILENT = frozenset(("embeddings", "rerank", "moderations", "count_tokens", "transcriptions"))  # no tokens of output
PIECE_PUSD = PUSD // 10  # for what is paid by the piece, until it is known: ten cents
NOUGHT = Decimal(0)


class Candidate(Protocol):
    @property
    def deployment(self) -> Deployment: ...


class Routes(Protocol):
    @property
    def fallbacks(self) -> Mapping[str, Sequence[str]]: ...


class Gateway(Protocol):
    """What of a gateway is used here."""

    @property
    def limits(self) -> Limiter: ...
    @property
    def routes(self) -> Routes: ...
    @property
    def find_group(self) -> Callable[[str], Sequence[Candidate]]: ...


async def reserve_limits(call: Call, gateway: Gateway) -> None:
    """Take what the call may use at most, or refuse it. Raises ApiError 429, or 503 where nobody can know."""
    limiter, caller = gateway.limits, call.caller or NOBODY
    accounts = limiter.find_accounts(caller, call.user, call.tags)
    if not accounts and not limiter.settings.models:
        return
    limited = call.limited = Limited()
    _note_budgets(call, limited, accounts, gateway)
    accounts += limiter.find_model(call.target)
    needs = [(account, _amount(call, account, gateway)) for account in accounts]
    try:
        refusal = await limiter.engine.reserve(needs)
    except AwayError as error:
        raise STATE_AWAY from error
    now = limiter.engine.now()
    limited.headers = tuple(list_headers(needs, now))
    if refusal is None:
        limited.needs = needs
        return
    if refusal.account.quota.unit == "usd":
        limited.state = "hard"
    raise to_error(refusal, now)


def settle_limits(call: Call, gateway: Gateway) -> None:
    """Book what the call has used, whatever became of it."""
    limited = call.limited
    if limited is None or not limited.needs:
        return
    needs, limited.needs = limited.needs, ()
    used: Used = {}
    if call.cache != "hit":
        used["usd"] = to_pusd(call.cost_usd or NOUGHT)
        used["tokens"] = call.usage.input + call.usage.output if call.usage else 0
    gateway.limits.engine.settle(needs, used)


def _note_budgets(call: Call, limited: Limited, accounts: Accounts, gateway: Gateway) -> None:
    """How the budgets stand; beyond a soft limit another model answers, where one is named and exists."""
    limiter = gateway.limits
    for account in accounts:
        if account.quota.unit == "usd" and account.used:
            limited.state = limited.state or "ok"
            limits = account.quota.limits
            left = min(limit.amount - used for limit, used in zip(limits, account.used, strict=False))
            limited.left_pusd = left if limited.left_pusd is None else min(left, limited.left_pusd)
    for limit in limiter.find_soft(accounts) if limited.state else ():
        limited.state = "soft"
        target = limit.downgrade or limiter.settings.downgrade.get(call.target, "")
        if target and target != call.target and gateway.find_group(target):
            call.target, call.request = target, call.request | {"model": target}
            return


def _amount(call: Call, account: Account, gateway: Gateway) -> int:
    quota = account.quota
    if quota.unit in ("requests", "slots"):
        return 1
    if not quota.limits:
        return 0
    if quota.unit == "tokens":
        silent = call.api.name in SILENT
        wanted = usual_tokens(call.body, 0 if silent else call.api.max_tokens(call.request), _answers(call))
        return min(wanted, quota.limits[0].amount)  # a call that may use more than a minute's runs alone
    return _most_pusd(call, gateway)


def _most_pusd(call: Call, gateway: Gateway) -> int:
    limiter, now = gateway.limits, gateway.limits.engine.now()
    tier = read_service_tier(None, call.request.get("service_tier"))
    is_long = len(call.body) >= LONG_INPUT_TOKENS
    models = (call.target, *gateway.routes.fallbacks.get(call.target, ()))
    members = [one.deployment for model in models for one in gateway.find_group(model)]

    def read() -> Rates:
        at = datetime.fromtimestamp(now, UTC)
        return find_rates([price for one in members if (price := one.find_price(at))], tier, is_long=is_long)

    rates = limiter.find_rates((call.target, tier, is_long), now, read)
    output_tokens = 0
    if call.api.name not in SILENT:
        longest = max((one.output_tokens or limiter.settings.max_output_tokens for one in members), default=0)
        asked = call.api.max_tokens(call.request)
        output_tokens = (longest if asked is None else asked) * _answers(call)
    pieces = PIECE_PUSD * _answers(call) if call.api.pieces else 0
    return most_pusd(call.body, output_tokens, rates) + pieces


def _answers(call: Call) -> int:
    """How many answers are paid for."""
    counts = (call.request.get("n"), call.request.get("best_of"))
    return max((count for count in counts if type(count) is int and 0 < count < 10_000), default=1)
