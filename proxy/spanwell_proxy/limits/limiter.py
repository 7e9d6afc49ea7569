"""Which accounts a call takes from: its key's, its team's, its users', its model's, its tags' and the gateway's."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

from spanwell_proxy.caller import PUSD, Caller, Limits, Owner
from spanwell_proxy.limits.account import Account
from spanwell_proxy.limits.engine import Engine
from spanwell_proxy.limits.estimates import Rates
from spanwell_proxy.limits.quotas import Limit, Scope, make_quotas
from spanwell_proxy.limits.settings import NO_LIMITS, LimitSettings, fill

Accounts = tuple[Account, ...]
RatesKey = tuple[str, str, bool]  # model, tier, whether the input is long
MOST_RATES = 1000
MOST_CALLERS = 10_000
RATES_S = 5.0
KNOWN_S = 30.0


class Limiter:
    """`find_user` gives the limits of a user that is known, else None."""

    def __init__(
        self, engine: Engine, settings: LimitSettings, find_user: Callable[[str], Limits | None] = lambda _: None
    ) -> None:
        self.engine = engine
        self._find_user = find_user
        self._rates: dict[RatesKey, tuple[float, Rates]] = {}
        self.use(settings)

    def use(self, settings: LimitSettings) -> None:
        """The settings of another configuration hold from now on."""
        self.settings = settings
        self.engine.set_rules(settings.wait_s, settings.on_failure)
        self._by_caller: dict[Caller, Accounts] = {}
        self._models = self._open_named("model", settings.models)
        self._tags = self._open_named("tag", settings.tags)
        self._gateway = self._open("gateway", "", settings.gateway)
        self._rates.clear()

    def find_accounts(self, caller: Caller, user: str, tags: Iterable[str]) -> Accounts:
        """All but the model's."""
        found = self._by_caller.get(caller)
        if found is None:
            if len(self._by_caller) >= MOST_CALLERS:  # keys that were changed are other callers
                self._by_caller.clear()
            found = self._by_caller[caller] = self._open_caller(caller)
        if user or caller.user:
            found = (*found, *self._open_users(caller, user))
        if self._tags:
            found = (*found, *(account for tag in tags for account in self._tags.get(tag, ())))
        return found

    def find_model(self, model: str) -> Accounts:
        return self._models.get(model, ()) if self._models else ()

    def find_unknown(self, accounts: Accounts, now: float) -> list[Account]:
        """Budgets of which this worker has not been told of late how they stand."""
        hour = now // 3600
        return [
            account
            for account in accounts
            if account.quota.is_budget and (now - account.told_at > KNOWN_S or hour != account.told_at // 3600)
        ]

    async def learn(self, accounts: Accounts) -> None:
        """Know how the budgets stand. Raises AwayError."""
        unknown = [(account, 1) for account in self.find_unknown(accounts, self.engine.now())]
        if unknown and await self.engine.reserve(unknown) is None:
            self.engine.settle(unknown, {})

    def find_soft(self, accounts: Accounts) -> Iterator[Limit]:
        """Limits whose soft part is used up."""
        for account in accounts:
            if account.quota.is_soft:
                for limit, used in zip(account.quota.limits, account.used, strict=False):
                    if limit.soft is not None and used >= limit.soft:
                        yield limit

    def recall_rates(self, key: RatesKey, now: float) -> Rates | None:
        """The dearest rates of a model, if they were looked up a few seconds ago."""
        known = self._rates.get(key)
        return known[1] if known and now < known[0] else None

    def keep_rates(self, key: RatesKey, now: float, rates: Rates) -> Rates:
        if len(self._rates) >= MOST_RATES:
            self._rates.clear()
        self._rates[key] = now + RATES_S, rates
        return rates

    def list_left(self) -> Iterator[tuple[str, str, str, Decimal]]:
        """Of every budget in use here: scope, whose, window, and the US dollars left."""
        for account in self.engine.book.active:
            if account.quota.unit == "usd":
                for limit, used in zip(account.quota.limits, account.used, strict=False):
                    left = Decimal(limit.amount - used) / PUSD
                    yield account.quota.scope, account.quota.who, limit.window, left

    def _open_caller(self, caller: Caller) -> Accounts:
        key, team = self._limits(caller, "key"), self._limits(caller, "team")
        return (
            *(self._open("key", caller.key_id, key, counted=True) if caller.key_id else ()),
            *(self._open("team", caller.team, team, counted="team" in caller.limits) if caller.team else ()),
            *self._gateway,
        )

    def _limits(self, caller: Caller, owner: Owner) -> Limits:
        return fill(caller.limits.get(owner, NO_LIMITS), self.settings.each.get(owner, NO_LIMITS))

    def _open_users(self, caller: Caller, user: str) -> Iterator[Account]:
        """Of the key's owner, and of the one who uses the application: clients name these, so no key is kept."""
        each = self.settings.each.get("user")
        for name in {user, caller.user} - {""}:
            own = caller.limits.get("user") if name == caller.user else self._find_user(name)
            if own or each:
                limits = fill(own or NO_LIMITS, each or NO_LIMITS)
                yield from self._open("user", name, limits, counted=own is not None)

    def _open_named(self, scope: Scope, named: Mapping[str, Limits]) -> dict[str, Accounts]:
        return {name: self._open(scope, name, limits) for name, limits in named.items()}

    def _open(self, scope: Scope, who: str, limits: Limits, *, counted: bool = False) -> Accounts:
        return tuple(self.engine.open(quota) for quota in make_quotas(scope, who, limits, counted=counted))
