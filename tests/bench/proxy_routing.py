"""What a decision costs, and what prefix affinity brings: `python -m tests.bench.proxy_routing`.

The second part simulates conversations over four servers, each with room for the prefixes of 200 of them.
"""

import heapq
import random
import sys
import timeit
from collections import OrderedDict

from spanwell_proxy.routing.asked import Asked
from spanwell_proxy.routing.choosing import choose
from spanwell_proxy.routing.complexity import judge
from spanwell_proxy.routing.facts import Candidate
from spanwell_proxy.routing.policy import STRATEGIES, Policy, Strategy
from tests.proxy.routing.candidates import weighted

TURNS, ROOM, RUNNING, CALLS_A_SECOND, ANSWER_S = 20_000, 200, 600, 100.0, 0.4
LAST = {"role": "user", "content": "Do foxes sleep in winter, and if so, where? " * 20}
REQUEST = {"model": "fox", "messages": [{"role": "system", "content": "You help. " * 40}, LAST]}
COMPARED: tuple[Strategy, ...] = ("weighted", "least-busy", "prefix-affinity")


def time_us(strategy: Strategy) -> float:
    """Microseconds of one decision among four deployments, the best of five rounds."""
    group, policy = weighted(1, 2, 3, 4), Policy(strategy=strategy)
    for index, one in enumerate(group):
        one.facts.note_latency(1.0, 0.1 * (index + 1), stream=False)
        one.facts.in_flight = index
    rounds = timeit.repeat(lambda: choose(group, Asked(REQUEST, 1024), policy, (), 2.0, 0.37), number=5000, repeat=5)
    return min(rounds) / 5000 * 1e6


class Simulation:
    """Calls of random conversations, each of about six turns."""

    def __init__(self, strategy: Strategy) -> None:
        self.random = random.Random(1)
        self.group = weighted(1, 1, 1, 1)
        self.policy = Policy(strategy=strategy)
        self.kept: dict[str, OrderedDict[str, None]] = {one.deployment.id: OrderedDict() for one in self.group}
        self.running: list[tuple[float, int, Candidate]] = []
        self.known: set[str] = set()
        self.later = self.found = 0
        self.peak = 0.0

    def run(self) -> None:
        topics: list[str] = []
        for number in range(TURNS):
            now = number / CALLS_A_SECOND
            while self.running and self.running[0][0] <= now:
                heapq.heappop(self.running)[2].facts.end(now, ANSWER_S, stream=False, failed=False)
            if len(topics) < RUNNING or self.random.random() < 1 / 6:
                topics.append(f"Conversation {number}. " * 40)
            self.ask(self.random.choice(topics[-RUNNING:]), number, now)

    def ask(self, topic: str, number: int, now: float) -> None:
        request = {"messages": [{"role": "user", "content": topic}, LAST]}
        chosen = choose(self.group, Asked(request, 3000), self.policy, (), now, self.random.random()).candidate
        cache = self.kept[chosen.deployment.id]
        self.later += topic in self.known
        self.found += topic in self.known and topic in cache
        self.known.add(topic)
        cache[topic] = None
        cache.move_to_end(topic)
        if len(cache) > ROOM:
            cache.popitem(last=False)
        chosen.facts.begin()
        heapq.heappush(self.running, (now + self.random.expovariate(1 / ANSWER_S), number, chosen))
        loads = [one.facts.in_flight for one in self.group]
        if number > RUNNING:
            self.peak = max(self.peak, max(loads) * len(loads) / sum(loads))


def main() -> None:
    for strategy in STRATEGIES:
        sys.stdout.write(f"{strategy:<18}{time_us(strategy):>8.1f} us a decision\n")
    scored = min(timeit.repeat(lambda: judge(REQUEST), number=1000, repeat=5)) / 1000 * 1e6
    sys.stdout.write(f"{'complexity':<18}{scored:>8.1f} us a request of {len(str(REQUEST)):,} characters\n")
    for strategy in COMPARED:
        simulation = Simulation(strategy)
        simulation.run()
        found = simulation.found / simulation.later
        sys.stdout.write(
            f"{strategy:<18}{found:>8.1%} of prefixes found, at most {simulation.peak:.2f} times the load\n"
        )


if __name__ == "__main__":
    main()
