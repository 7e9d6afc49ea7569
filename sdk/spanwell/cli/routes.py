"""`spanwell routes` and `spanwell experiments`: how the gateway shares calls, through its administration API."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from spanwell.cli.administration import ask_gateway
from spanwell.cli.console import write
from spanwell.cli.places import add_places
from spanwell.cli.tables import table
from spanwell.settings import Settings

ROUTES = ("model", "strategy", "deployment", "weight", "ready", "in_flight", "latency", "errors", "waiting", "quality")
CHOICES = ("deployment", "model", "probability", "expected_usd", "ready")
FEATURES = ("feature", "value", "weight", "adds")
EXPERIMENTS = ("name", "model", "status", "arm", "by", "reason")
ARMS = ("arm", "share", "counted", "errors", "latency", "ttft", "cost", "scores")
GUARDRAILS = ("arm", "metric", "margin", "difference", "evidence", "limit", "broken")

SHARES = ("latency", "ttft", "cost")  # told as shares of the control's

EXPLAIN = """\
Show where a question would go now, and why: how hard it looks and by which features, and the probability of each
deployment. Nothing is sent."""
DECISIONS = {
    "promote": "send all calls to the arm",
    "rollback": "send all calls to the control",
    "pin": "send all calls to one arm for now",
    "resume": "share calls among the arms again, and count anew",
}


def add_routes_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`spanwell routes list|explain` and `spanwell experiments list|show|promote|rollback|pin|resume`."""
    routes = _add_noun(
        commands, "routes", "Show how calls are shared among deployments, and why a question goes where."
    )
    _add_action(routes, "list", "every model, its policy and its deployments").set_defaults(run=_list_routes)
    explain = _add_action(routes, "explain", "where a question would go, and why", EXPLAIN)
    explain.add_argument("model")
    explain.add_argument("question")
    explain.add_argument("--tier", default="", help="as the header x-spanwell-tier would say")
    explain.add_argument("--tag", action="append", default=[], help="as x-spanwell-tags would (repeat it)")
    explain.set_defaults(run=_explain)
    trials = _add_noun(commands, "experiments", "Show experiments, and promote, roll back, pin or resume one.")
    _add_action(trials, "list", "all experiments and what was decided").set_defaults(run=_list_experiments)
    show = _add_action(trials, "show", "what is seen of the arms of one")
    show.add_argument("name")
    show.set_defaults(run=_show_experiment)
    for action, text in DECISIONS.items():
        decide = _add_action(trials, action, text)
        decide.add_argument("name")
        if action in ("promote", "pin"):
            decide.add_argument("arm", nargs="?" if action == "promote" else None, default="")
        decide.add_argument("--reason", default="", help="why; it is shown with the decision")
        decide.set_defaults(run=_decide)


def _add_noun(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    noun = commands.add_parser(name, help=text, description=text)
    add_places(noun)
    return noun.add_subparsers(dest="action", metavar="ACTION", required=True)


def _add_action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, description: str = ""
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=description or None)
    add_places(parser)
    return parser


def _list_routes(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    rows = [row for route in ask_gateway(settings, "GET", "/admin/routes")["routes"] for row in _flatten(route)]
    return _print(rows, ROUTES)


def _flatten(route: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for one in route["deployments"]:
        yield {
            "model": route["model"],
            "strategy": route["policy"]["strategy"],
            "deployment": one["id"],
            "weight": f"{one['weight']:g}",
            "ready": one["ready"],
            "in_flight": one["in_flight"],
            "latency": f"{one['latency_s'] or one['ttft_s']:.3f} s",
            "errors": f"{one['error_rate']:.1%}",
            "waiting": one["waiting"],
            "quality": one["quality"] if one["quality"] is None else f"{one['quality']:.3f}",
        }


def _explain(options: argparse.Namespace, settings: Settings) -> int:
    asked = {"model": options.model, "messages": [{"role": "user", "content": options.question}]}
    wanted = {"request": asked, "tier": options.tier, "tags": options.tag}
    told = ask_gateway(settings, "POST", "/admin/routes/explain", wanted)
    hard = told["complexity"]
    write(f"{told['model']}: {told['policy']['strategy']}, about {told['input_tokens']} tokens")
    goes = f", so {' or '.join(hard['models'])}" if hard["models"] else ""
    write(f"complexity {hard['score']:g}{goes}")
    shown = [one for one in hard["features"] if one["value"]]
    _print(
        [
            {"feature": f"  {one['name']}", "value": f"{one['value']:g}", "weight": f"{one['weight']:g}"}
            | {"adds": f"{one['value'] * one['weight']:+.3f}"}
            for one in shown
        ],
        FEATURES,
    )
    write("")
    return _print([_show_choice(one) for one in told["deployments"]], CHOICES)


def _show_choice(one: Mapping[str, Any]) -> dict[str, Any]:
    cost = one["expected_usd"]
    told = {"probability": f"{one['probability']:.1%}", "expected_usd": None if cost is None else f"{cost:.6f}"}
    return {**one, **told, "deployment": one["id"]}


def _list_experiments(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    return _print(ask_gateway(settings, "GET", "/admin/experiments")["experiments"], EXPERIMENTS)


def _show_experiment(options: argparse.Namespace, settings: Settings) -> int:
    told = ask_gateway(settings, "GET", f"/admin/experiments/{quote(options.name, safe='')}")
    _print([told], EXPERIMENTS)
    write("")
    _print([_show_arm(arm) for arm in told["arms"]], ARMS)
    if told["guardrails"]:
        write("")
        _print([_show_guardrail(one) for one in told["guardrails"]], GUARDRAILS)
    if not told["sample_ratio"]["ok"]:
        write("the arms do not get the share of calls that they should: trust none of this")
    return 0


def _show_arm(arm: Mapping[str, Any]) -> dict[str, Any]:
    means = arm["means"]
    known = {name: f"{value:.4g}" for name, value in means.items() if not name.startswith("score:")}
    scores = [f"{name[6:]} {value:.3f}" for name, value in means.items() if name.startswith("score:")]
    share = f"copies of {arm['shadow']:.0%}" if arm["shadow"] else f"{arm['share']:.0%}"
    return {"arm": arm["name"], "share": share, "counted": arm["counted"], **known, "scores": scores}


def _show_guardrail(one: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: f"{one[name]:.3g}" for name in ("margin", "evidence", "limit")}
    return {**one, **numbers, "difference": _show_bounds(one["difference"], one["metric"] in SHARES)}


def _show_bounds(told: Mapping[str, float] | None, is_share: bool) -> str:
    if told is None:
        return ""
    low, middle, high = (f"{told[name]:+{'.1%' if is_share else '.3g'}}" for name in ("low", "difference", "high"))
    return f"{middle} ({low} to {high})"


def _decide(options: argparse.Namespace, settings: Settings) -> int:
    path = f"/admin/experiments/{quote(options.name, safe='')}/{options.action}"
    told = ask_gateway(settings, "POST", path, {"arm": getattr(options, "arm", ""), "reason": options.reason})
    write(f"{told['name']} is {told['status']}" + (f": all calls go to {told['arm']}" if told["arm"] else ""))
    return 0


def _print(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> int:
    for line in table(rows, columns):
        write(line)
    return 0
