"""The experiments of one worker: what is decided and observed of each, kept in step with the other workers."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from spanwell_proxy.experiments.store import Counts, Observation, StoreAwayError, TrialStore
from spanwell_proxy.routing.experiments import Experiment, State, Status, current
from spanwell_proxy.routing.guardrails import Verdict, judge_experiment

logger = logging.getLogger(__name__)

SYNC_S: Final = 0.4  # so that all workers know of a decision within a second
MOST_WAITING: Final = 20_000  # observations, while the store is away; then the newest are dropped
MOST_UNITS: Final = 200_000  # that are remembered as counted
GUARD: Final = "guardrail"  # who decided


class Trials:
    """`experiments` are by the model name that clients ask for."""

    def __init__(self, experiments: Mapping[str, Experiment], store: TrialStore) -> None:
        self.experiments = experiments
        self.counts: Mapping[str, Counts] = {}
        self.store = store
        self._states: Mapping[str, State] = {}
        self._waiting: list[Observation] = []
        self._counted: set[tuple[str, int]] = set()
        self._warned: set[str] = set()
        self._trouble = ""
        self.copies: set[asyncio.Task[Any]] = set()  # shadow calls under way

    def find_state(self, experiment: Experiment) -> State:
        """What is decided, as far as this worker knows."""
        return current(experiment, self._states.get(experiment.name))

    def name_trial(self, experiment: Experiment) -> str:
        """The run that observations count for now."""
        return f"{experiment.name}/{experiment.edition}/{self.find_state(experiment).run}"

    def note(self, observation: Observation) -> None:
        """Count a call: now in memory, soon for all workers. Of a unit only the first call counts."""
        if observation.unit:
            key = (observation.trial, observation.unit)
            if key in self._counted:
                return
            if len(self._counted) >= MOST_UNITS:
                self._counted.clear()  # the store knows them still
            self._counted.add(key)
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(observation)

    def judge(self, experiment: Experiment) -> Verdict:
        return judge_experiment(experiment, self.counts.get(self.name_trial(experiment), {}))

    async def decide(self, experiment: Experiment, status: Status, arm: str, *, by: str, reason: str) -> State:
        """Make it so for all workers. To run again is to count anew. Raises StoreAwayError."""
        run = self.find_state(experiment).run + (status == "running")
        state = State(status, arm, experiment.edition, run, reason, by, round(time.time(), 3))
        await self.store.decide(experiment.name, state)
        self._states = {**self._states, experiment.name: state}
        logger.warning("experiment %s is %s: %s", experiment.name, status, reason or f"by {by}")
        return state

    async def close(self) -> None:
        """Call off the copies under way, and tell what was observed last."""
        for task in self.copies:
            task.cancel()
        await asyncio.gather(*self.copies, return_exceptions=True)
        if self._waiting:
            await self.sync()
        await self.store.close()

    async def run(self) -> None:
        """Keep in step until cancelled."""
        while True:
            await asyncio.sleep(SYNC_S)
            if self.experiments or self._waiting:
                await self.sync()

    async def sync(self) -> None:
        """Tell what was observed, learn what others did, and roll back what does harm."""
        told, self._waiting = self._waiting, []
        trials = [self.name_trial(one) for one in self.experiments.values()]
        try:
            shared = await self.store.sync(told, trials)
            told = []  # is counted: what fails from here on must not count it again
            self._states, self.counts = shared.states, shared.counts
            for experiment in self.experiments.values():
                await self._begin(experiment)
                await self._guard(experiment)
            self._trouble = ""
        except StoreAwayError as error:
            self._waiting = (told + self._waiting)[:MOST_WAITING]
            if not self._trouble:
                logger.warning("%s; calls go on as was decided before", error)
            self._trouble = str(error)

    async def _begin(self, experiment: Experiment) -> None:
        """Note since when this edition runs."""
        known = self._states.get(experiment.name, State())
        if known.edition != experiment.edition:
            state = State(edition=experiment.edition, at=round(time.time(), 3))
            if await self.store.decide(experiment.name, state, only_if=known):
                self._states = {**self._states, experiment.name: state}

    async def _guard(self, experiment: Experiment) -> None:
        known = self._states.get(experiment.name, State())
        if self.find_state(experiment).status != "running":
            return
        verdict = self.judge(experiment)
        if verdict.is_mismatched and experiment.name not in self._warned:
            self._warned.add(experiment.name)
            logger.error("experiment %s: its arms do not get the share of calls that they should", experiment.name)
        if (broken := verdict.broken) is None:
            return
        reason = (
            f"{broken.arm} is worse in {broken.metric} by more than {broken.margin:g} (e-value {broken.evidence:.3g},"
            f" limit {broken.limit:g})"
        )
        run = self.find_state(experiment).run
        state = State(
            "rolled-back", experiment.arms[0].name, experiment.edition, run, reason, GUARD, round(time.time(), 3)
        )
        if await self.store.decide(experiment.name, state, only_if=known):
            self._states = {**self._states, experiment.name: state}
            logger.error("experiment %s is rolled back: %s", experiment.name, reason)
