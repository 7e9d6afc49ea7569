"""How a refusal is told: what is used up, whose it is, and what resets when."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from spanwell_proxy.caller import PUSD
from spanwell_proxy.failures import ApiError
from spanwell_proxy.limited import Header
from spanwell_proxy.limits.account import Account
from spanwell_proxy.limits.book import Needs, Refusal
from spanwell_proxy.limits.quotas import MINUTE_S, Limit, Quota, Unit, ends_at

ADJECTIVES = {"hour": "hourly", "day": "daily", "month": "monthly", "total": "total"}
SCOPES = {"key": "this key", "gateway": "this gateway"}
RESET = b"1m0s"  # until the last of what this call uses has slid out
HEADERS: Mapping[Unit, tuple[bytes, bytes, Header]] = {
    "requests": (
        b"x-ratelimit-limit-requests",
        b"x-ratelimit-remaining-requests",
        (b"x-ratelimit-reset-requests", RESET),
    ),
    "tokens": (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", (b"x-ratelimit-reset-tokens", RESET)),
}
STATE_AWAY = ApiError(
    503, "state_unavailable", "limits and budgets cannot be checked now; try again", retry_after_s=1.0
)


def to_error(refusal: Refusal, now: float) -> ApiError:
    """429, with the seconds after which another try may help."""
    unit = refusal.account.quota.unit
    if unit == "usd":
        return _tell_budget(refusal, now)
    if unit == "slots":
        (limit,) = refusal.account.quota.limits
        told = f"{_name(refusal.account.quota)} may run {limit.amount} calls at once, and they run"
        return ApiError(429, "concurrency_exceeded", told, retry_after_s=1.0)
    return _tell_rate(refusal, now)


def list_headers(needs: Needs, now: float) -> Sequence[Header]:
    """OpenAI's headers, of the narrowest limit of each unit."""
    narrowest: dict[Unit, tuple[int, int]] = {}
    for account, _ in needs:
        quota = account.quota
        if quota.unit in HEADERS and quota.limits:
            left = _left(account, now), quota.limits[0].amount
            if quota.unit not in narrowest or left < narrowest[quota.unit]:
                narrowest[quota.unit] = left
    headers: list[Header] = []
    for unit, (left_over, amount) in narrowest.items():
        limit_name, left_name, reset = HEADERS[unit]
        headers += ((limit_name, b"%d" % amount), (left_name, b"%d" % left_over), reset)
    return headers


def _tell_budget(refusal: Refusal, now: float) -> ApiError:
    account, amount = refusal.account, refusal.amount
    used = account.used or [0] * len(account.quota.limits)
    known = list(zip(account.quota.limits, used, strict=True))
    limit, spent = next(((limit, spent) for limit, spent in known if spent + amount > limit.amount), known[0])
    ends = ends_at(limit.window, now)
    told = (
        f"the {ADJECTIVES[limit.window]} budget of {_usd(limit.amount)} USD of {_name(account.quota)} does not cover "
        f"this call: {_usd(spent)} spent, up to {_usd(amount)} needed"
    )
    if refusal.why == "busy":
        running = account.reserved + account.reserved_elsewhere
        return ApiError(
            429, "budget_exceeded", f"{told}, {_usd(running)} reserved by calls under way", retry_after_s=1.0
        )
    if spent < limit.amount:
        told += ", which a smaller max_tokens lowers"
    told += f"; it resets at {datetime.fromtimestamp(ends, UTC):%Y-%m-%dT%H:%M:%SZ}" if ends else "; it never resets"
    return ApiError(429, "budget_exceeded", told, retry_after_s=ends - now if ends else None)


def _tell_rate(refusal: Refusal, now: float) -> ApiError:
    account, amount = refusal.account, refusal.amount
    (limit,) = account.quota.limits
    told = f"{_name(account.quota)} may use {limit.amount} {account.quota.unit} a minute"
    if refusal.why == "busy":
        return ApiError(
            429, "rate_limit_exceeded", f"{told}, and calls under way have reserved what is left", retry_after_s=1.0
        )
    wait_s = _wait_s(account, limit, amount, now)
    return ApiError(429, "rate_limit_exceeded", f"{told}; try again in {wait_s:.0f} seconds", retry_after_s=wait_s)


def _wait_s(account: Account, limit: Limit, amount: int, now: float) -> float:
    """Until enough has slid out of the minute."""
    left = limit.amount - sum(used for _, used in account.recent)
    for began, used in account.recent:
        left += used
        if left >= amount:
            return max(1.0, began + MINUTE_S + 1 - now)
    return float(MINUTE_S)


def _left(account: Account, now: float) -> int:
    if not account.used or now - account.told_at > MINUTE_S:
        return account.quota.limits[0].amount
    return max(0, account.quota.limits[0].amount - account.used[0])


def _name(quota: Quota) -> str:
    return SCOPES.get(quota.scope) or f"the {quota.scope} {quota.who!r}"


def _usd(pusd: int) -> str:
    return format(Decimal(pusd) / PUSD, ".6f")
