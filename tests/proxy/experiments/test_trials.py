"""One worker's experiments: nothing observed is lost while the store is away, and harm ends them."""

from collections.abc import Sequence
from pathlib import Path

from spanwell_proxy.experiments.sqlite import SqliteTrials
from spanwell_proxy.experiments.store import Observation, Shared, StoreAwayError
from spanwell_proxy.experiments.trials import Trials
from spanwell_proxy.routing.evidence import Tally
from spanwell_proxy.routing.experiments import Arm, Experiment, Guardrail, State

TRIAL = Experiment("trial", "fox", (Arm("old"), Arm("new")), guardrails=(Guardrail("errors", 0.01),))


class Flaky(SqliteTrials):
    """Away until it is told to come back."""

    away = True

    async def sync(self, observations: object, trials: object) -> Shared:
        if self.away:
            raise StoreAwayError("the experiments cannot be read now")
        return await super().sync(observations, trials)  # type: ignore[arg-type]


class Undecided(SqliteTrials):
    """Counts, but cannot decide: the first `away` times, or because somebody else has."""

    away = 1

    async def decide(self, name: str, state: State, *, only_if: State | None = None) -> bool:
        if self.away:
            self.away -= 1
            raise StoreAwayError("the experiments cannot be changed now")
        return await super().decide(name, state, only_if=only_if)


def observe(trials: Trials, arm: str, failed: bool, unit: int = 0) -> None:
    trials.note(Observation(trials.name_trial(TRIAL), arm, unit, (("assigned", 1.0), ("errors", float(failed)))))


async def test_what_is_observed_while_the_store_is_away_is_told_later(tmp_path: Path) -> None:
    store = Flaky(tmp_path / "state.db")
    trials = Trials({"fox": TRIAL}, store)
    for _ in range(3):
        observe(trials, "new", failed=False)
        await trials.sync()
    store.away = False

    await trials.sync()

    assert trials.counts[trials.name_trial(TRIAL)][("new", "errors")] == Tally(3, 0.0, 0.0)
    await store.close()


async def test_what_was_counted_is_not_told_again_where_a_decision_fails(tmp_path: Path) -> None:
    trials = Trials({"fox": TRIAL}, Undecided(tmp_path / "state.db"))
    observe(trials, "new", failed=False)

    await trials.sync()
    await trials.sync()

    assert trials.counts[trials.name_trial(TRIAL)][("new", "errors")].size == 1
    await trials.store.close()


async def test_the_guardrail_does_not_overrule_an_operator_even_for_a_moment(tmp_path: Path) -> None:
    slow, other = (Trials({"fox": TRIAL}, SqliteTrials(tmp_path / "state.db")) for _ in range(2))
    await slow.sync()
    await slow.sync()
    for _ in range(40):
        observe(slow, "new", failed=True)
        observe(slow, "old", failed=False)
    sync = slow.store.sync

    async def sync_late(observations: Sequence[Observation], trials: Sequence[str]) -> Shared:
        shared = await sync(observations, trials)
        await other.decide(TRIAL, "promoted", "new", by="operator", reason="meant so")
        return shared

    slow.store.sync = sync_late  # type: ignore[method-assign]
    await slow.sync()

    assert slow.find_state(TRIAL).status == "running"
    for one in (slow, other):
        await one.store.close()


async def test_a_unit_is_counted_once(tmp_path: Path) -> None:
    trials = Trials({"fox": TRIAL}, SqliteTrials(tmp_path / "state.db"))
    for _ in range(5):
        observe(trials, "new", failed=True, unit=7)
        await trials.sync()

    assert trials.counts[trials.name_trial(TRIAL)][("new", "errors")].size == 1
    await trials.store.close()


async def test_harm_rolls_back_and_running_again_counts_anew(tmp_path: Path) -> None:
    trials = Trials({"fox": TRIAL}, SqliteTrials(tmp_path / "state.db"))
    for _ in range(40):
        observe(trials, "new", failed=True)
        observe(trials, "old", failed=False)

    await trials.sync()
    rolled = trials.find_state(TRIAL)
    await trials.decide(TRIAL, "running", "", by="operator", reason="mended")
    await trials.sync()

    assert (rolled.status, rolled.arm, rolled.by) == ("rolled-back", "old", "guardrail")
    assert (trials.find_state(TRIAL).status, trials.counts[trials.name_trial(TRIAL)]) == ("running", {})
    await trials.store.close()


async def test_what_was_decided_is_known_to_a_new_worker(tmp_path: Path) -> None:
    first = Trials({"fox": TRIAL}, SqliteTrials(tmp_path / "state.db"))
    await first.decide(TRIAL, "promoted", "new", by="operator", reason="")
    second = Trials({"fox": TRIAL}, SqliteTrials(tmp_path / "state.db"))

    await second.sync()

    assert second.find_state(TRIAL).arm == "new"
    for trials in (first, second):
        await trials.store.close()
