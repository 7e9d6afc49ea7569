"""Experiments: which arm a call belongs to, and what the arm changes. Pure: the state is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple, get_args

from spanwell_proxy.routing.asked import Assignment
from spanwell_proxy.routing.prefix import MASK, hash_text, mix, rank

Unit = Literal["user", "session", "key", "call"]
UNITS: Final = get_args(Unit)
Status = Literal["running", "pinned", "promoted", "rolled-back"]
Metric = str  # errors, latency, ttft, cost, or score:NAME


class Prompt(NamedTuple):
    """A version of the instructions; empty `system` leaves those of the request."""

    name: str
    version: str
    system: str


class Arm(NamedTuple):
    """What a call is tried with. An arm with a `shadow` share gets copies of calls instead of calls."""

    name: str
    weight: float = 1.0
    model: str = ""
    deployment: str = ""
    params: Mapping[str, Any] = {}
    prompt: Prompt | None = None
    shadow: float = 0.0


class Guardrail(NamedTuple):
    """In what no arm may be worse than the control by more than `margin`: errors and scores as such, others a share."""

    metric: Metric
    margin: float


@dataclass(frozen=True)
class Experiment:
    """`arms[0]` is the control. `alpha` is the chance that a harmless experiment is ever rolled back."""

    name: str
    model: str
    arms: tuple[Arm, ...]
    stick: Unit = "user"
    guardrails: tuple[Guardrail, ...] = ()
    alpha: float = 0.05
    least: int = 50  # observations of an arm before latency, cost and scores are judged
    edition: str = field(init=False)  # changes with what is compared; then the counts start anew

    def __post_init__(self) -> None:
        arms = [(*arm._replace(params={}), sorted(arm.params.items())) for arm in self.arms]
        told = repr((self.model, self.stick, arms))
        object.__setattr__(self, "edition", blake2b(told.encode(), digest_size=6).hexdigest())

    @property
    def live(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in self.arms if not arm.shadow and arm.weight > 0)

    def find(self, name: str) -> Arm | None:
        return next((arm for arm in self.arms if arm.name == name), None)


class State(NamedTuple):
    """What was decided about an experiment. `run` counts up each time it starts anew; `at` is seconds since 1970."""

    status: Status = "running"
    arm: str = ""
    edition: str = ""
    run: int = 0
    reason: str = ""
    by: str = ""
    at: float = 0.0


RUNNING: Final = State()


def current(experiment: Experiment, state: State | None) -> State:
    """The state in force: one of another edition counts no more."""
    if state is None or state.edition != experiment.edition or (state.arm and not experiment.find(state.arm)):
        return RUNNING
    return state


def choose_arm(experiment: Experiment, state: State, unit: str) -> tuple[Arm, float]:
    """The arm of a unit, and its probability. The same unit has the same arm in every worker, now and tomorrow.

    Weights that change move as few units as can be (weighted rendezvous hashing).
    """
    if state.status != "running":
        return experiment.find(state.arm) or experiment.arms[0], 1.0
    live = experiment.live
    key = hash_text(f"{experiment.name}\0{unit}")
    best = max(live, key=lambda arm: rank(key, hash_text(arm.name), arm.weight))
    return best, best.weight / sum(arm.weight for arm in live)


def wants_copy(arm: Arm, seed: bytes) -> bool:
    """Whether a call is copied to a shadow arm, from its random id."""
    return mix(int.from_bytes(seed) ^ hash_text(arm.name)) < arm.shadow * MASK


class Joined(NamedTuple):
    """A call's part in an experiment. `asked` is the request as it came, for copies of it."""

    experiment: Experiment
    arm: Arm
    trial: str
    unit: int
    probability: float
    asked: Mapping[str, Any]

    @property
    def assignment(self) -> Assignment:
        return Assignment(self.experiment.name, self.arm.name, self.probability, self.arm.deployment)


def join(experiment: Experiment, state: State, unit: str, seed: bytes, asked: Mapping[str, Any]) -> Joined:
    """The part of a unit's call. Without a unit the call is one of its own, by its random `seed`."""
    arm, probability = choose_arm(experiment, state, unit or seed.hex())
    trial = f"{experiment.name}/{experiment.edition}/{state.run}"
    return Joined(experiment, arm, trial, hash_text(unit) >> 1 if unit else 0, probability, asked)


def apply_arm(arm: Arm, request: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the arm has it: its parameters over the caller's, its instructions instead of theirs."""
    changed = {**request, **arm.params}
    if arm.prompt and arm.prompt.system:
        _instruct(changed, arm.prompt.system)
    return changed


def _instruct(request: dict[str, Any], system: str) -> None:
    messages = request.get("messages")
    if "instructions" in request or ("input" in request and not isinstance(messages, list)):
        request["instructions"] = system  # OpenAI's responses
    elif "system" in request or not isinstance(messages, list):
        request["system"] = system  # Anthropic's messages
    else:
        others = [one for one in messages if not (isinstance(one, dict) and one.get("role") in ("system", "developer"))]
        request["messages"] = [{"role": "system", "content": system}, *others]
