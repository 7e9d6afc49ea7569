"""What is configured, as values: every model name with its deployments, and what to do when they fail."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, NamedTuple

from spanwell.overrides import Override
from spanwell.pricing import Price
from spanwell_proxy.apis.api import Api
from spanwell_proxy.config.resilience import Cooling, Fallbacks, Retries

CAUGHT: Final = re.compile(r"[\w.:@-]+(/[\w.:@-]+)*")  # what `*` stands for: a name, never an address
LAST: Final = sys.maxsize  # the order of what has none


@dataclass(frozen=True)
class Address:
    """Where a deployment is served. An API's own path stands between `path` and `query`."""

    scheme: str
    origin: str
    path: str
    host: str
    port: int
    query: str = ""


class Capacity(NamedTuple):
    """What a deployment takes: calls and tokens a minute, calls at a time. None is any number."""

    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None


ANY_NUMBER: Final = Capacity()


@dataclass(frozen=True, eq=False)
class Deployment:
    """One backend that answers for a model name. `params` are LiteLLM's, for the lane that translates.

    `price` is the deployment's own, else the list's; `overrides` are what the user says of its provider, oldest first.
    """

    id: str
    route: str  # `model_name` in the file: a wildcard, where the name is what it caught
    model_name: str
    provider: str
    model: str
    url: Address
    api_key: str = field(repr=False)
    weight: float
    timeout_s: float
    first_byte_timeout_s: float
    price: Price | None
    simulated: bool
    speaks: frozenset[str]  # the APIs it takes as they are; all others are translated for it
    params: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)  # that go with every request it takes as it is
    overrides: tuple[Override, ...] = field(repr=False)
    order: int = LAST  # lower ones are asked first, the others when none of those is ready
    tags: tuple[str, ...] = ()
    capacity: Capacity = ANY_NUMBER
    context_tokens: int | None = None  # the longest input, where it is known
    piece_rates: Mapping[str, Decimal] = field(default_factory=dict)  # US dollars, of what is paid for by the piece
    output_tokens: int | None = None  # the longest answer, where it is known
    mode: str = ""  # chat, embedding, …: what the file says it is for
    defaults: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of a request that says nothing else
    dropped: frozenset[str] = frozenset()  # what is left out of a request
    cooldown_s: float | None = None
    backend: str = ""  # the entry of `backends` that it was found at
    batch_api: bool = False  # it takes whole batches, as OpenAI does

    def is_translated(self, api: Api) -> bool:
        """Whether a request has to go through the LiteLLM lane."""
        return api.name not in self.speaks and not (api.is_passthrough and "chat" in self.speaks)

    def find_price(self, at: datetime, answered: str = "") -> Price | None:
        """What a call of `at` costs: the user's word for the model that `answered`, else for the one asked."""
        for name in (answered, self.model, self.model_name) if self.overrides else ():
            said = [one.price for one in self.overrides if one.model == name and one.valid_from <= at]
            if said:
                return said[-1]
        return self.price


class Wildcard(NamedTuple):
    """A model name with a `*` in it. `make` gives the deployments of a name, and what the `*` stands for in it."""

    name: str
    make: Callable[[str, str], tuple[Deployment, ...]]

    def catch(self, name: str) -> str:
        """What the `*` stands for in `name`; empty where it does not fit."""
        start, _, end = self.name.partition("*")
        if len(name) <= len(start) + len(end) or not name.startswith(start) or not name.endswith(end):
            return ""
        caught = name[len(start) : len(name) - len(end)]
        return caught if CAUGHT.fullmatch(caught) else ""


class Ignored(NamedTuple):
    """A key of the file that means nothing here, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Routes:
    """Every model name with its deployments, and what to try when they fail. `wildcards`: the longest first."""

    deployments: Mapping[str, tuple[Deployment, ...]]
    wildcards: Mapping[str, Wildcard] = field(repr=False)
    fallback_models: Fallbacks
    retries: Mapping[str, Retries]  # by model name; '' for all others
    cooling: Cooling
    master_key: str = field(repr=False)
    ignored: tuple[Ignored, ...]  # to be named in the log
    aliases: Mapping[str, str] = field(default_factory=dict)  # other names of models
    hidden: frozenset[str] = frozenset()  # names that are answered, and not listed
    access_groups: Mapping[str, frozenset[str]] = field(default_factory=dict)  # names of models, by that of a group
    strategies: Mapping[str, str] = field(default_factory=dict)  # by model name; '' for all others
    retry_after_s: float = 0.0  # the shortest pause before another attempt
    checks_context: bool = False  # whether deployments too small for a request are left out
    filters_tags: bool = False
    any_tag: bool = True  # one tag in common is enough

    @cached_property
    def fallbacks(self) -> Mapping[str, tuple[str, ...]]:
        """What to ask when every attempt at the first failed."""
        names = self.deployments.keys() | self.fallback_models.others.keys()
        return {name: self.fallback_models.find(name) for name in names}

    def find_fallbacks(self, model: str) -> tuple[str, ...]:
        """What to ask instead of `model`, which a wildcard may have caught."""
        known = self.fallbacks.get(model)
        return self.fallback_models.find(model) if known is None else known

    @property
    def num_retries(self) -> int:
        return self.retries[""].default

    @property
    def translated(self) -> bool:
        """Whether any deployment needs the LiteLLM lane."""
        groups = (*self.deployments.values(), *(self.expand(name.replace("*", "x")) for name in self.wildcards))
        return any("chat" not in deployment.speaks for group in groups for deployment in group)

    def expand(self, name: str) -> tuple[Deployment, ...]:
        """What a wildcard has for `name`: the longest that fits. Nothing, where none does."""
        for wildcard in self.wildcards.values():
            if caught := wildcard.catch(name):
                return wildcard.make(name, caught)
        return ()

    def find_retries(self, model: str) -> Retries:
        """How often a call of this model is tried again."""
        return self.retries.get(model) or self.retries[""]

    def find_strategy(self, model: str) -> str:
        """How its deployments share calls; empty where the file does not say."""
        return self.strategies.get(model) or self.strategies.get("", "")

    def list_models(self) -> list[str]:
        """The names to show."""
        return [name for name in self.deployments if name not in self.hidden]
