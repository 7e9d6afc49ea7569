"""The worker's sections of spanwell.yaml as validated, frozen values. What they do stands in the jobs' modules."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from spanwell.backends import read_backends
from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell_collector.prices.pools import read_pools
from spanwell_collector.registry import DIMENSIONS, METRICS
from spanwell_collector.worker.rubric import Rubric, load_rubric

DRIFT_METRIC: Final = "drift_p_value"  # of the newest drift check of each segment
Name = Annotated[str, Field(min_length=1, max_length=100)]
Text = Annotated[str, Field(min_length=1)]


def _one_of(names: Iterable[str]) -> AfterValidator:
    known = tuple(names)

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"Input should be {', '.join(map(repr, known))}")
        return name

    return AfterValidator(check)


Dimension = Annotated[str, _one_of(DIMENSIONS)]
Metric = Annotated[str, _one_of((*METRICS, DRIFT_METRIC))]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JudgeSection(Section):
    """One entry of `judges`."""

    name: Name
    rubric: Path
    model: Text
    sample: float = Field(default=0.1, gt=0, le=1)
    max_per_hour: int = Field(default=60, ge=1)
    api_key: SecretStr | None = None
    temperature: float | None = Field(default=0.0, ge=0, le=2)  # null: models that know no temperature
    every_seconds: float = Field(default=10, ge=1)


class DriftSection(Section):
    """`drift`. A window has to hold `min_sessions` sessions, and so has the reference before it."""

    enabled: bool = True
    segment_by: Dimension = "app"
    window_minutes: float = Field(default=60, ge=1)
    reference_minutes: float = Field(default=360, ge=1)
    every_seconds: float = Field(default=60, ge=1)
    alpha: float = Field(default=0.01, gt=0, lt=1)
    min_sessions: int = Field(default=20, ge=5)


class Receiver(Section):
    """Where webhooks go. `allow_private` admits plain http and addresses that are not public."""

    name: Name
    url: SecretStr  # many services put the credential into the path
    secret: SecretStr
    allow_private: bool = False

    @field_validator("secret")
    @classmethod
    def _is_signing_secret(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        try:
            size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
        except binascii.Error:
            size = 0
        if not text.startswith("whsec_") or not 24 <= size <= 64:
            raise ValueError("must be whsec_ followed by the base64 of 24 to 64 random bytes")
        return secret

    @model_validator(mode="after")
    def _is_reachable_url(self) -> "Receiver":
        parts = urlsplit(self.url.get_secret_value())
        if parts.scheme not in ({"https", "http"} if self.allow_private else {"https"}) or not parts.hostname:
            raise ValueError("url must be https://host/... (http only with allow_private: true)")
        if parts.username or parts.password:
            raise ValueError("url must not carry a user name or a password")
        return self


class Rule(Section):
    """One alert rule. It fires when `metric op threshold` holds for `for_seconds`, and recovers past `recover`."""

    name: Name
    metric: Metric
    op: Literal[">", ">=", "<", "<="]
    threshold: float = Field(allow_inf_nan=False)
    recover: float | None = Field(default=None, allow_inf_nan=False)
    filters: dict[Dimension, list[str]] = {}
    by: Dimension | None = None
    window_minutes: float = Field(default=5, gt=0, le=1440)
    for_seconds: float = Field(default=0, ge=0)
    min_requests: int = Field(default=1, ge=0)
    severity: Annotated[str, Field(min_length=1, max_length=50)] = "warning"
    receiver: str | None = None
    every_seconds: float = Field(default=15, ge=1)

    @field_validator("filters", mode="before")
    @classmethod
    def _one_value_is_a_list(cls, filters: Any) -> Any:
        if not isinstance(filters, dict):
            return filters
        return {key: [value] if isinstance(value, str) else value for key, value in filters.items()}

    @model_validator(mode="after")
    def _drift_has_segments_of_its_own(self) -> "Rule":
        if self.metric == DRIFT_METRIC and (self.by or self.filters):
            raise ValueError(f"{DRIFT_METRIC} takes neither by nor filters: it is watched for each drift segment")
        return self

    @model_validator(mode="after")
    def _recovers_on_the_good_side(self) -> "Rule":
        if self.recover is None:
            return self
        good = self.recover <= self.threshold if self.op.startswith(">") else self.recover >= self.threshold
        if not good:
            side = "at or below" if self.op.startswith(">") else "at or above"
            raise ValueError(f"recover must be {side} threshold {self.threshold:g} for op {self.op!r}")
        return self


class AlertsSection(Section):
    """`alerts`."""

    receivers: list[Receiver] = []
    rules: list[Rule] = []

    @model_validator(mode="after")
    def _names_agree(self) -> "AlertsSection":
        known = _unique("receivers", [receiver.name for receiver in self.receivers])
        _unique("rules", [rule.name for rule in self.rules])
        for rule in self.rules:
            if rule.receiver is not None and rule.receiver not in known:
                raise ValueError(f"rule {rule.name!r}: receiver {rule.receiver!r} is not one of {sorted(known)}")
        return self


@dataclass(frozen=True)
class Judge:
    """A judge ready to work: its section, its rubric, and the key it calls the proxy with ('' = none)."""

    section: JudgeSection
    rubric: Rubric
    api_key: str


class Backend(NamedTuple):
    """A server of models that is scraped; an empty `project` is the collector's own."""

    url: str
    instance: str
    project: str


@dataclass(frozen=True)
class WorkerConfig:
    """Everything the worker is configured with."""

    judges: list[Judge]
    drift: DriftSection
    alerts: AlertsSection
    backends: list[Backend]


def read_sections(config: Config) -> WorkerConfig:
    """Validate what the worker is configured with. Raises ConfigError naming the key and what is allowed."""
    home = Path(config.source).parent
    return WorkerConfig(
        judges=_read_judges(config, home),
        drift=_validated(DriftSection, config.drift, f"{config.source}: drift"),
        alerts=_validated(AlertsSection, config.alerts, f"{config.source}: alerts"),
        backends=_read_backends(config),
    )


def _read_judges(config: Config, home: Path) -> list[Judge]:
    where = f"{config.source}: judges"
    sections = [_validated(JudgeSection, entry, f"{where}[{index}]") for index, entry in enumerate(config.judges)]
    try:
        _unique("judges", [section.name for section in sections])
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    master_key = str(config.general_settings.get("master_key") or "")
    return [
        Judge(
            section=section,
            rubric=load_rubric(home / section.rubric),
            api_key=section.api_key.get_secret_value() if section.api_key else master_key,
        )
        for section in sections
    ]


def _read_backends(config: Config) -> list[Backend]:
    """One that stands twice, for two models, is scraped once."""
    pools = [pool for pool in read_pools(config, project="") if pool.metrics_url]
    found = [Backend(pool.metrics_url, pool.instance, pool.project) for pool in pools]
    found += [Backend(one.metrics_url, one.address, "") for one in read_backends(config) if one.scrape]
    return list(dict.fromkeys(found))


def _unique(what: str, names: list[str]) -> set[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two {what} are named {twice[0]!r}; names must differ")
    return set(names)


Model = TypeVar("Model", bound=BaseModel)


def _validated(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}{explain(error)}") from error


def explain(error: ValidationError) -> str:
    """The first problem of a validation: `.key: what is wrong`, never the value, which may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    return f"{key}: {first['msg'].removeprefix('Value error, ')}"
