"""How soon a harmful arm is found, and how often a harmless one: `python -m tests.bench.proxy_experiments`.

Units come one by one to a control with nine tenths of them and an arm with one, and are looked at after each hundred.
"""

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spanwell_proxy.routing.evidence import Tally
from spanwell_proxy.routing.experiments import Arm, Experiment, Guardrail
from spanwell_proxy.routing.guardrails import judge_experiment

RUNS, UNITS, STEP = 300, 20_000, 100
ARMS = (Arm("control", 9), Arm("new", 1))
Draw = Callable[[np.random.Generator, NDArray[np.bool_]], NDArray[np.float64]]


def find_harm(guardrail: Guardrail, draw: Draw, seed: int) -> int | None:
    """How many units had come when it was rolled back; None where it never was."""
    random = np.random.default_rng(seed)
    is_new = random.random(UNITS) < 0.1
    values = draw(random, is_new)
    experiment = Experiment("bench", "fox", ARMS, guardrails=(guardrail,))
    seen = {
        arm: (np.cumsum(mask), np.cumsum(values * mask), np.cumsum(values**2 * mask))
        for arm, mask in (("control", ~is_new), ("new", is_new))
    }
    for look in range(STEP - 1, UNITS, STEP):
        tallies = {
            (arm, guardrail.metric): Tally(int(sizes[look]), float(totals[look]), float(squares[look]))
            for arm, (sizes, totals, squares) in seen.items()
        }
        if judge_experiment(experiment, tallies).broken:
            return look + 1
    return None


def draw_errors(control: float, new: float) -> Draw:
    return lambda random, is_new: (random.random(UNITS) < np.where(is_new, new, control)).astype(float)


def draw_latency(slower: float) -> Draw:
    return lambda random, is_new: random.normal(np.where(is_new, np.log1p(slower), 0.0), 0.8)


CASES: tuple[tuple[str, Guardrail, Draw], ...] = (
    ("errors 2% -> 2%", Guardrail("errors", 0.01), draw_errors(0.02, 0.02)),
    ("errors 2% -> 3%, the margin", Guardrail("errors", 0.01), draw_errors(0.02, 0.03)),
    ("errors 2% -> 6%", Guardrail("errors", 0.01), draw_errors(0.02, 0.06)),
    ("errors 2% -> 15%", Guardrail("errors", 0.01), draw_errors(0.02, 0.15)),
    ("errors 2% -> 100%", Guardrail("errors", 0.01), draw_errors(0.02, 1.0)),
    ("latency +0%", Guardrail("latency", 0.1), draw_latency(0.0)),
    ("latency +10%, the margin", Guardrail("latency", 0.1), draw_latency(0.1)),
    ("latency +30%", Guardrail("latency", 0.1), draw_latency(0.3)),
    ("latency +100%", Guardrail("latency", 0.1), draw_latency(1.0)),
)


def main() -> None:
    sys.stdout.write(f"{'true effect':<30}{'found':>8}{'after units, median':>22}{'of the arm':>12}\n")
    for name, guardrail, draw in CASES:
        found = [one for seed in range(RUNS) if (one := find_harm(guardrail, draw, seed))]
        middle = float(np.median(found)) if found else 0.0
        after = f"{middle:,.0f}" if found else "-"
        of_arm = f"{middle / 10:,.0f}" if found else "-"
        sys.stdout.write(f"{name:<30}{len(found) / RUNS:>8.1%}{after:>22}{of_arm:>12}\n")


if __name__ == "__main__":
    main()
