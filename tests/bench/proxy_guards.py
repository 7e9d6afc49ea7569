"""What guards cost: nanoseconds a byte for plain and for hostile text, at 1 KB, 64 KB and 1 MB. Linear: a row is level.

python -m tests.bench.proxy_guards
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from spanwell.credentials import find_secrets
from spanwell.masking import mask_json
from spanwell.pii import KINDS, find_pii
from spanwell_proxy.guards.finding import find_persons, write_kind
from spanwell_proxy.guards.flows import FindingFlow
from spanwell_proxy.guards.guarding import Guarding
from spanwell_proxy.guards.injection import weigh
from spanwell_proxy.guards.judging import Guard, Watch
from spanwell_proxy.guards.tokens import estimate_tokens
from spanwell_proxy.guards.words import compile_patterns, find_words

SIZES: Final = (1_024, 65_536, 1_048_576)
LEAST_S: Final = 0.05  # of work that a figure is made of
PROSE: Final = "The quick brown fox jumps over the lazy dog; in 2026 it ran 42 km, and then it slept. "
TEXTS: Final = {
    "prose": PROSE,
    "prose with finds": PROSE + "Write to anna@example.com or call +49 30 1234567. ",
    "numbers": "12.50, 7, 1795207129, 0.001, 2026-11-21, ",
    "digits in groups": "1-1111-",
    "digits": "1",
    "signs": "@a.b:",
    "dashes": "sk-",
    "letters": "a",
}
KIND_SET: Final = frozenset(KINDS)
EVIL: Final = find_words(compile_patterns({"evil": r"(a+)+$", "worse": r"(\w+\s?)*:"}, "bench"))
WORK: Final[Mapping[str, Callable[[str], Any]]] = {
    "persons": lambda text: find_pii(text, KIND_SET),
    "secrets": lambda text: find_secrets(text, named=True),
    "patterns (RE2)": EVIL.find,
    "injection": weigh,
    "tokens": estimate_tokens,
    "stored text": lambda text: mask_json(f'["{text}"]', "pii"),
}


def main() -> int:
    """Print the tables."""
    write(f"{'ns a byte':34}" + "".join(f"{size:>12,}" for size in SIZES))
    for name, work in WORK.items():
        for kind, unit in TEXTS.items():
            figures = [measure(work, (unit * (size // len(unit) + 1))[:size]) for size in SIZES]
            write(f"{name:16}{kind:18}" + "".join(f"{figure:12.1f}" for figure in figures))
    write("")
    write(f"{'µs a call with 1 KB':34}" + f"{'':12}")
    for name, guards in GUARDS.items():
        write(f"{name:34}{measure_call(guards):12.1f}")
    write(f"{'µs a piece of 5 characters':34}{measure_stream():12.1f}")
    return 0


def measure(work: Callable[[str], Any], text: str) -> float:
    """Processor time, the best of three."""
    best = float("inf")
    for _ in range(3):
        rounds, started = 0, time.process_time()
        while (spent := time.process_time() - started) < LEAST_S or not rounds:
            work(text)
            rounds += 1
        best = min(best, spent / rounds)
    return best / len(text) * 1e9


class Asked:
    """As much of a call as guards see."""

    def __init__(self) -> None:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": (PROSE * 12)[:1024]}]
        self.request: dict[str, Any] = {"model": "fox", "messages": messages}
        self.body, self.answer, self.model, self.user = b"", b"", "fox", ""


PERSONS: Final = Guard("persons", frozenset(("input",)), "mask", finder=find_persons(KIND_SET, write_kind))
GUARDS: Final = {"no guard for this model": (), "persons": (PERSONS,)}


def measure_call(guards: tuple[Guard, ...]) -> float:
    async def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError

    async def run(rounds: int) -> float:
        started = time.process_time()
        for _ in range(rounds):
            await Guarding(Watch(guards, ()), Asked(), ask).check_request()
        return (time.process_time() - started) / rounds * 1e6

    return min(asyncio.run(run(2000)) for _ in range(3))


def measure_stream() -> float:
    pieces = [PROSE[at : at + 5] for at in range(0, len(PROSE), 5)] * 100
    best = float("inf")
    for _ in range(3):
        flow, started = FindingFlow(find_persons(KIND_SET, write_kind), lambda _: None), time.process_time()
        for piece in pieces:
            flow.push(piece)
        best = min(best, (time.process_time() - started) / len(pieces) * 1e6)
    return best


def write(line: str) -> None:
    sys.stdout.write(line.rstrip() + "\n")


if __name__ == "__main__":
    sys.exit(main())
