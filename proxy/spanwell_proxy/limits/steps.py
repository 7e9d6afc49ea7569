"""The steps of a call that deal with limits: take what it may use at most, and give back what it did not use."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from spanwell_proxy.apis.usage import read_service_tier
from spanwell_proxy.call import Call
from spanwell_proxy.caller import NOBODY, PUSD
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.limited import Limited
from spanwell_proxy.limits.account import Account
from spanwell_proxy.limits.book import Needs, Used
from spanwell_proxy.limits.engine import AwayError
from spanwell_proxy.limits.estimates import (
    LONG_INPUT_TOKENS,
    Rates,
    find_rates,
    is_plain,
    most_form_pusd,
    most_pusd,
    to_pusd,
    usual_tokens,
)
from spanwell_proxy.limits.limiter import Accounts, Limiter, RatesKey
from spanwell_proxy.limits.wording import STATE_AWAY, list_headers, to_error

SILENT = frozenset(("embeddings", "rerank", "moderations", "count_tokens", "transcriptions"))  # no tokens of output
BY_ATTEMPT = ("usd", "tokens")  # a call that is tried twice is still one request, and one at a time
PIECE_PUSD = PUSD // 10  # for what is paid by the piece, until it is known: ten cents
COMPLAINT_TOKENS = 2000  # most of what a guard tells a model that is asked again
NOUGHT = Decimal(0)


class Candidate(Protocol):
    @property
    def deployment(self) -> Deployment: ...


class Routes(Protocol):
    @property
    def fallbacks(self) -> Mapping[str, Sequence[str]]: ...


class Guards(Protocol):
    def may_ask_again(self, model: str) -> bool: ...


class Gateway(Protocol):
    """What of a gateway is used here."""

    @property
    def guards(self) -> Guards | None: ...
    @property
    def limits(self) -> Limiter: ...
    @property
    def routes(self) -> Routes: ...
    @property
    def find_group(self) -> Callable[[str], Sequence[Candidate]]: ...


async def reserve_limits(call: Call, gateway: Gateway) -> None:
    """Take what the call may use at most, or refuse it. Raises ApiError 429, or 503 where nobody can know."""
    limiter = gateway.limits
    if call.purpose:  # a call of Spanwell's own is on nobody's bill, but on the gateway's
        accounts = limiter.find_accounts(NOBODY, "", call.tags)
    else:
        accounts = limiter.find_accounts(call.caller or NOBODY, call.user, call.tags)
    if not accounts and not limiter.settings.models:
        return
    limited = call.limited = Limited()
    try:
        noted = accounts + limiter.find_model(call.target)
        if limiter.find_unknown(noted, limiter.engine.now()):
            await limiter.learn(noted)
        _note_budgets(call, limited, noted, gateway)
        if limited.is_downgraded:
            noted = accounts + limiter.find_model(call.target)
        await _reserve(limited, _list_needs(call, noted, gateway), limiter)
        if gateway.guards and gateway.guards.may_ask_again(call.model):
            limited.attempts = 2
    except AwayError as error:
        raise STATE_AWAY from error


async def _reserve(limited: Limited, needs: Needs, limiter: Limiter) -> None:
    refusal = await limiter.engine.reserve(needs)
    now = limiter.engine.now()
    limited.headers = list_headers(needs, now)
    if refusal is None:
        limited.needs = needs
        return
    if refusal.account.quota.unit == "usd":
        limited.state = "hard"
    raise to_error(refusal, now)


async def reserve_attempt(limited: Limited, limiter: Limiter, *, at_once: bool) -> bool:
    """Take once more what an attempt may use at most, for one after or beside others; false where there is no room.

    With `at_once` it is no either where only the store could tell.
    """
    shares = [
        (account, amount // limited.attempts) for account, amount in limited.needs if account.quota.unit in BY_ATTEMPT
    ]
    try:
        if not limiter.engine.try_reserve(shares) and (at_once or await limiter.engine.reserve(shares)):
            return False
    except AwayError:
        return False
    more = dict(shares)
    limited.needs = [(account, amount + more.get(account, 0)) for account, amount in limited.needs]
    limited.attempts += 1
    return True


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


def list_costs(call: Call, gateway: Gateway) -> list[tuple[Account, int]]:
    """What the call may cost at most, for each budget it is on: for a backend's batches, where no rates hold."""
    limiter = gateway.limits
    accounts = limiter.find_accounts(call.caller or NOBODY, call.user, call.tags) + limiter.find_model(call.target)
    return _list_needs(call, tuple(one for one in accounts if one.quota.unit == "usd"), gateway)


def _note_budgets(call: Call, limited: Limited, accounts: Accounts, gateway: Gateway) -> None:
    """How the budgets stand; beyond a soft limit another model answers, where one is named that the key may use."""
    limiter, caller, is_soft = gateway.limits, call.caller or NOBODY, False
    for account in accounts:
        if account.quota.is_budget and account.used:
            limited.state, left = limited.state or "ok", account.left
            limited.left_pusd = left if limited.left_pusd is None else min(left, limited.left_pusd)
            is_soft = is_soft or account.quota.is_soft
    for limit in limiter.find_soft(accounts) if is_soft else ():
        limited.state = "soft"
        target = limit.downgrade or limiter.settings.downgrade.get(call.target, "")
        if target and target != call.target and caller.may_use(target) and gateway.find_group(target):
            limited.is_downgraded = True
            call.target, call.request = target, call.request | {"model": target}
            return


def _list_needs(call: Call, accounts: Accounts, gateway: Gateway) -> list[tuple[Account, int]]:
    """How much of each account the call may use at most."""
    request, silent = call.request, call.api.name in SILENT
    asked = 0 if silent else call.api.max_tokens(request)
    answers = 1 if "n" not in request and "best_of" not in request else _count_answers(request)
    needs, most = [], -1  # picodollars, once they are known: the same for every budget
    for account in accounts:
        quota = account.quota
        if quota.unit in ("requests", "slots"):
            amount = 1
        elif not quota.limits:
            amount = 0
        elif quota.unit == "tokens":  # a call that may use more than a minute's runs alone
            amount = min(usual_tokens(call.text_bytes, asked, answers), quota.limits[0].amount)
        else:
            amount = most = most if most >= 0 else _most_pusd(call, asked, answers, gateway)
        needs.append((account, amount))
    return needs


def _most_pusd(call: Call, asked: int | None, answers: int, gateway: Gateway) -> int:
    limiter, now = gateway.limits, gateway.limits.engine.now()
    tier, text_bytes = read_service_tier(None, call.request.get("service_tier")), call.text_bytes
    key = (call.target, tier, text_bytes >= LONG_INPUT_TOKENS)
    rates = limiter.recall_rates(key, now) or limiter.keep_rates(key, now, _look_up_rates(key, now, gateway))
    output_tokens = (rates.output_tokens if asked is None else asked) * answers
    pieces = PIECE_PUSD * answers if call.api.pieces else 0
    if call.form:
        return most_form_pusd(text_bytes, output_tokens, rates) + pieces
    most = most_pusd(call.body, output_tokens, rates, plain=is_plain(call.request)) + pieces
    if gateway.guards and gateway.guards.may_ask_again(call.model):  # with the first answer, and what is wrong with it
        return 2 * most + (output_tokens + COMPLAINT_TOKENS) * rates.any_input
    return most


def _look_up_rates(key: RatesKey, now: float, gateway: Gateway) -> Rates:
    """Of every deployment that may answer, fallbacks included."""
    target, tier, is_long = key
    models, at = (target, *gateway.routes.fallbacks.get(target, ())), datetime.fromtimestamp(now, UTC)
    members = [one.deployment for model in models for one in gateway.find_group(model)]
    longest = max((one.output_tokens or gateway.limits.settings.max_output_tokens for one in members), default=0)
    prices = [price for one in members if (price := one.find_price(at))]
    return find_rates(prices, tier, longest, is_long=is_long)


def _count_answers(request: Mapping[str, Any]) -> int:
    """How many answers are paid for. In a form every number is a text."""
    counts = [request.get("n"), request.get("best_of")]
    whole = [int(one) if isinstance(one, str) and one.isdecimal() and len(one) < 5 else one for one in counts]
    return max((count for count in whole if type(count) is int and 0 < count < 10_000), default=1)
