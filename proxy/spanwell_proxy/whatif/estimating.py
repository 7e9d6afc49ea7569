"""What another policy would have brought, from calls that were shared by a known one: off-policy estimates.

Each call's outcome stands for those the other policy would have sent there: it is weighted by how much likelier that
policy had been to send it there. The self-normalised estimate divides by the sum of the weights (Swaminathan, Joachims:
The self-normalized estimator for counterfactual learning, 2015). The doubly robust one adds a model of the outcome, and
weights only what that model gets wrong (Dudík, Langford, Li: Doubly robust policy evaluation and learning, 2011); it is
right where either the probabilities or the model are. Calls of one user hang together, so intervals count users.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Z: Final = 1.959964  # of a 95 % interval
RIDGE: Final = 1e-3
FOLDS: Final = 2
FEWEST: Final = 5  # outcomes of a deployment, before it has a model of its own

Numbers = NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean of outcomes a call, with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


class Log(NamedTuple):
    """One row a call. `taken` is the column of the deployment that answered, `probability` what it was chosen with."""

    taken: NDArray[np.int64]
    probability: Numbers
    wanted: Numbers  # the other policy's probability of every deployment
    outcome: Numbers
    features: Numbers  # of the request, known before it was sent
    units: Sequence[str]  # whose call


def find_weights(log: Log) -> Numbers:
    """How much likelier the other policy had been to do what was done."""
    rows = np.arange(len(log.taken))
    weights: Numbers = log.wanted[rows, log.taken] / log.probability
    return weights


def count_effective(weights: Numbers) -> float:
    """How many calls of equal weight say as much."""
    total = float(weights.sum())
    return total * total / float((weights**2).sum()) if total else 0.0


def estimate_logged(log: Log) -> Estimate:
    """The plain mean: what was."""
    return _interval(float(log.outcome.mean()), log.outcome - log.outcome.mean(), log.units)


def estimate_weighted(log: Log) -> Estimate | None:
    """Self-normalised inverse propensity; None where the policies have nothing in common."""
    weights = find_weights(log)
    mean = float(weights.mean())
    if not mean:
        return None
    value = float((weights * log.outcome).mean()) / mean
    return _interval(value, weights * (log.outcome - value) / mean, log.units)


def estimate_robustly(log: Log) -> Estimate | None:
    """Doubly robust, its model that of other users' calls; None where the policies have nothing in common."""
    weights = find_weights(log)
    mean = float(weights.mean())
    if not mean:
        return None
    predicted = _predict(log)
    expected = (log.wanted * predicted).sum(axis=1)
    missed = log.outcome - predicted[np.arange(len(log.taken)), log.taken]
    correction = float((weights * missed).mean()) / mean
    parts = expected - expected.mean() + weights * (missed - correction) / mean
    return _interval(float(expected.mean()) + correction, parts, log.units)


def _predict(log: Log) -> Numbers:
    """The outcome of every call at every deployment, by a linear model of the calls of other users."""
    fold = np.array([hash_unit(unit) % FOLDS for unit in log.units])
    columns = np.column_stack([np.ones(len(log.taken)), log.features])
    predicted = np.zeros_like(log.wanted)
    for number in range(FOLDS):
        learned = fold != number if (fold != number).any() else fold == number
        overall = float(log.outcome[learned].mean())
        for deployment in range(log.wanted.shape[1]):
            known = learned & (log.taken == deployment)
            if known.sum() < FEWEST:
                predicted[fold == number, deployment] = overall
                continue
            predicted[fold == number, deployment] = columns[fold == number] @ _fit(columns[known], log.outcome[known])
    return predicted


def hash_unit(unit: str) -> int:
    """The same in every run."""
    return sum((index + 1) * ord(letter) for index, letter in enumerate(unit))


def _fit(columns: Numbers, outcome: Numbers) -> Numbers:
    spread = columns.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    scaled = columns / scale
    penalty = RIDGE * len(columns) * np.eye(columns.shape[1])
    penalty[0, 0] = 0.0
    solved: Numbers = np.linalg.lstsq(scaled.T @ scaled + penalty, scaled.T @ outcome, rcond=None)[0] / scale
    return solved


def _interval(value: float, parts: Numbers, units: Sequence[str]) -> Estimate:
    """`parts` are how far each call moves the value; those of a unit move it together."""
    _, group = np.unique(np.array(units), return_inverse=True)
    sums = np.bincount(group, weights=parts)
    groups = len(sums)
    error = float(np.sqrt((sums**2).sum() * groups / max(1, groups - 1))) / len(parts)
    return Estimate(value, value - Z * error, value + Z * error)
