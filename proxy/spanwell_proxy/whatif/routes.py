"""`spanwell whatif route POLICY`: reads what is stored, replays it, and shows what would have been."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import yaml

from spanwell.cli.console import write
from spanwell.errors import ConfigError
from spanwell.settings import Settings
from spanwell_proxy.gateway import group_deployments
from spanwell_proxy.plan import Plan, read_plan
from spanwell_proxy.routing.policy import STRATEGIES, Policy, Strategy
from spanwell_proxy.routing.settings import read_policy
from spanwell_proxy.whatif.estimating import Estimate
from spanwell_proxy.whatif.routing import Compared, Replayed, Routed, read_routed, replay_route
from spanwell_proxy.whatif.stored import Tell, Window, export_rows

ABOUT: Final = """\
Replay stored calls under another routing policy, and estimate what they would have cost, how long they would have
taken, how many would have failed. POLICY is a strategy, a name under routing.routes of the configuration, or a policy
as it is written there: '{strategy: lowest-cost, explore: 0.1}'.

The estimates weigh each call by how much likelier the policy is to send it where it went. So they need calls that were
shared by chance: set `explore`. Both are shown: self-normalised (IPS), and doubly robust (DR), with 95 % intervals."""
FEW: Final = 30.0
UNITS: Final = {"cost_usd": (1000.0, "USD per 1,000 calls"), "duration_ms": (1.0, "ms"), "errors": (100.0, "% failed")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="POLICY")
    parser.add_argument("--model", default="", help="only calls that asked for this model")
    parser.add_argument("--among", default="", metavar="NAME", help="share them among this name's deployments instead")
    parser.add_argument("--score", default="", help="also the mean of this score")


def replay_stored(options: argparse.Namespace, settings: Settings, tell: Tell) -> int:
    """Exit code 0, also where there is nothing to replay. Raises SpanwellError."""
    plan, end = read_plan(settings), datetime.now(UTC)
    window = Window(options.project or settings.project, end - timedelta(seconds=options.last), end, options.model)
    texts = {
        (row["trace_id"], row["span_id"]): row["input"]
        for row in export_rows(settings, "texts", window, tell)
        if row["source"] == ""
    }
    calls = read_routed(list(export_rows(settings, "spans", window, tell)), texts)
    scores = _read_scores(settings, window, options.score, tell) if options.score else {}
    if not calls:
        write("no calls of this window say with which probability their deployment was chosen")
    for model in dict.fromkeys(call.model for call in calls):
        _replay_model(model, [call for call in calls if call.model == model], scores, plan, options)
    return 0


def parse_policy(text: str, model: str, plan: Plan) -> Policy:
    """Raises ConfigError naming what is allowed."""
    routing = plan.routing
    if text in STRATEGIES:
        return replace(routing.find_policy(model), strategy=cast(Strategy, text))
    if text in routing.policies:
        return routing.policies[text]
    try:
        item = yaml.safe_load(text)
    except yaml.YAMLError:
        item = None
    if not isinstance(item, dict):
        raise ConfigError(f"{text!r} is no strategy ({', '.join(STRATEGIES)}), no route, and no policy in braces")
    return read_policy("what-if", item, routing.policies[""], "POLICY")


def _replay_model(
    model: str, calls: Sequence[Routed], scores: Mapping[str, float], plan: Plan, options: argparse.Namespace
) -> None:
    group = group_deployments(plan.routes, {}, plan.routing.unions)(options.among or model)
    policy = parse_policy(options.policy, model, plan)
    replayed = replay_route(calls, group, policy, scores) if group else None
    if replayed is None:
        write(f"{model}: none of its {len(calls):,} calls went to a deployment of the configuration")
        return
    for line in describe(model, options.policy, replayed):
        write(line)


def describe(model: str, policy: str, replayed: Replayed) -> list[str]:
    """The figures of one model, as lines."""
    lines = [f"{model}, {replayed.calls:,} calls, under {policy} (worth {replayed.effective:,.0f} calls)"]
    if replayed.effective < FEW:
        lines.append("  too few calls went where this policy would send them: do not rely on this; set `explore`")
    if replayed.unheard > 0.001:
        lines.append(f"  {replayed.unheard:.1%} would go to deployments that had no call: the model guesses there")
    for name, share in replayed.shares.items():
        lines.append(f"  {name:<32} {replayed.was[name]:>7.1%} -> {share:>7.1%}")
    lines += [f"  {'':<22}{'was':>12}{'IPS':>12}{'95 %':>24}{'DR':>12}{'95 %':>24}"]
    return [*lines, *(_row(one) for one in replayed.compared)]


def _row(one: Compared) -> str:
    scale, unit = UNITS.get(one.outcome, (1.0, one.outcome))
    return f"  {unit:<22}{one.was.value * scale:>12.4g}{_cells(one.weighted, scale)}{_cells(one.robust, scale)}"


def _cells(estimate: Estimate | None, scale: float) -> str:
    if estimate is None:
        return f"{'-':>12}{'':>24}"
    bounds = f"{estimate.low * scale:.4g} to {estimate.high * scale:.4g}"
    return f"{estimate.value * scale:>12.4g}{bounds:>24}"


def _read_scores(settings: Settings, window: Window, name: str, tell: Tell) -> dict[str, float]:
    """The mean of each trace."""
    values: dict[str, list[float]] = {}
    rows: Any = export_rows(settings, "scores", window, tell)
    for row in rows:
        if row["name"] == name:
            values.setdefault(row["trace_id"], []).append(float(row["value"]))
    return {trace: sum(given) / len(given) for trace, given in values.items()}
