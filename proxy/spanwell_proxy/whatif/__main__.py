"""`python -m spanwell_proxy.whatif cache` or `route`; `spanwell whatif` comes here."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from spanwell.cli.console import write
from spanwell.errors import ConfigError, SpanwellError
from spanwell.settings import Settings
from spanwell_proxy.caches.semantic.embedders import Embedder, HashingEmbedder, MiniLmEmbedder, Vectors
from spanwell_proxy.whatif import routes
from spanwell_proxy.whatif.caching import Saved, list_questions, remember, replay
from spanwell_proxy.whatif.stored import Stored, Window, read_calls

ABOUT: Final = """\
Replay stored calls against a cache that was not there: how many it would have answered, and what that would have saved.

Give several values to compare them. With --threshold questions are compared by meaning too, as the semantic cache
would: with the vectors of MiniLM (--minilm FOLDER), or of hashed words, which find less."""
EMBED_AT_ONCE: Final = 256


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 something failed, 2 a setting or an argument is wrong."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options, Settings.load()))
    except SpanwellError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="spanwell whatif", description="Replay stored calls under other rules.")
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    cache = commands.add_parser(
        "cache",
        help="a cache with other settings",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cache.add_argument(
        "--ttl", type=read_duration, nargs="+", default=[600.0], metavar="TIME", help="such as 10m or 1d"
    )
    cache.add_argument("--threshold", type=float, nargs="+", default=[], help="least similarity, such as 0.92")
    cache.add_argument("--shared", action="store_true", help="keys share their answers")
    cache.add_argument("--minilm", type=Path, metavar="FOLDER", help="model.safetensors and tokenizer.json of MiniLM")
    cache.add_argument("--model", default="", help="only calls that asked for this model")
    cache.add_argument("--project", default="", help="default: SPANWELL_PROJECT")
    cache.add_argument("--last", type=read_duration, default=86_400.0, metavar="TIME", help="default: 1d")
    cache.add_argument("--examples", type=int, default=5, help="pairs of questions to show for each threshold")
    cache.set_defaults(run=_replay_cache)
    route = commands.add_parser(
        "route",
        help="another routing policy",
        description=routes.ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    routes.add_arguments(route)
    route.add_argument("--project", default="", help="default: SPANWELL_PROJECT")
    route.add_argument("--last", type=read_duration, default=604_800.0, metavar="TIME", help="default: 7d")
    route.set_defaults(run=lambda options, settings: routes.replay_stored(options, settings, _tell))
    return parser


def read_duration(text: str) -> float:
    """Seconds of `90`, `90s`, `10m`, `6h` or `7d`. Raises ArgumentTypeError."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    if not number.replace(".", "", 1).isdigit() or not float(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write one such as 90s, 10m, 6h or 7d")
    return float(number) * units[unit]


def _replay_cache(options: argparse.Namespace, settings: Settings) -> int:
    end = datetime.now(UTC)
    window = Window(options.project or settings.project, end - timedelta(seconds=options.last), end, options.model)
    calls = read_calls(settings, window, _tell)
    if not calls:
        write("no model calls are stored of this window")
        return 0
    found = [replay(calls, ttl_s, shared=options.shared) for ttl_s in options.ttl]
    if options.threshold:
        embedder: Embedder = MiniLmEmbedder(options.minilm) if options.minilm else HashingEmbedder()
        vectors = _embed(embedder, calls)
        for ttl_s in options.ttl:
            found += [
                replay(calls, ttl_s, shared=options.shared, threshold=threshold, vectors=vectors)
                for threshold in options.threshold
            ]
    for line in tabulate(found):
        write(line)
    for saved in found:
        _show_examples(saved, options.examples)
    return 0


def _embed(embedder: Embedder, calls: Sequence[Stored]) -> Callable[[str], Vectors]:
    questions = list_questions(calls)
    rows: list[Vectors] = []
    for begin in range(0, len(questions), EMBED_AT_ONCE):
        rows.append(asyncio.run(embedder.embed(questions[begin : begin + EMBED_AT_ONCE])))
        _tell("questions", min(begin + EMBED_AT_ONCE, len(questions)), len(questions))
    return remember(questions, np.concatenate(rows) if rows else np.zeros((0, 1), dtype=np.float32))


def tabulate(found: Sequence[Saved]) -> list[str]:
    """The figures of each replay, one a line, under their names."""
    lines = [f"{'ttl':>8}{'threshold':>11}{'calls':>9}{'hits':>8}{'rate':>8}{'saved':>14}{'of':>12}{'time saved':>13}"]
    for one in found:
        threshold = "exact" if one.threshold is None else f"{one.threshold:g}"
        lines.append(
            f"{_duration(one.ttl_s):>8}{threshold:>11}{one.looked_up:>9,}{one.hits:>8,}{one.hit_rate:>8.1%}"
            f"{one.saved_usd:>12.4f} ${one.spent_usd:>10.4f} ${one.saved_ms / 1000:>11,.0f} s"
        )
    return lines


def _show_examples(saved: Saved, most: int) -> None:
    if saved.threshold is None or not saved.semantic_hits:
        return
    write("")
    told = f"{saved.semantic_hits:,} by meaning, {saved.kept_apart:,} near misses kept apart"
    write(f"ttl {_duration(saved.ttl_s)}, threshold {saved.threshold:g}: {told}; look at some:")
    for example in saved.examples[:most]:
        write(f"  {example.similarity:.3f}  {_short(example.first)}")
        write(f"         {_short(example.second)}")


def _short(text: str) -> str:
    flat = " ".join(text.split())
    printable = "".join(letter if letter.isprintable() else "�" for letter in flat)
    return printable if len(printable) <= 110 else printable[:109] + "…"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _tell(what: str, number: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{what}: {number:,} of {total:,}" + ("\n" if number == total else ""))


if __name__ == "__main__":
    sys.exit(main())
