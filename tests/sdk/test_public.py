"""The public face: what `import spanwell` loads, names and promises to type checkers."""

import subprocess
import sys
from pathlib import Path

import spanwell

HEAVY = (
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "opentelemetry.proto",
    "requests",
    "yaml",
    "urllib.request",
    "http.client",
    "asyncio",
    "pandas",
    "fastapi",
    "litellm",
)


def test_importing_loads_the_api_and_nothing_heavier() -> None:
    code = f"import sys, spanwell; print([name for name in {HEAVY!r} if name in sys.modules])"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert found == "[]\n"


def test_every_public_name_is_there_and_documented() -> None:
    missing = [name for name in spanwell.__all__ if not getattr(spanwell, name).__doc__]

    assert missing == []
    assert spanwell.__all__ == sorted(spanwell.__all__)


def test_decorated_functions_keep_their_types(tmp_path: Path) -> None:
    module = tmp_path / "typed.py"
    module.write_text(
        "import spanwell\n"
        "from collections.abc import AsyncIterator\n"
        "@spanwell.trace\n"
        "def plain(topic: str, *, limit: int = 3) -> list[str]: return []\n"
        "@spanwell.trace(operation='retrieval')\n"
        "async def later(topic: str) -> bytes: return b''\n"
        "@spanwell.trace(name='n')\n"
        "async def stream(n: int) -> AsyncIterator[str]: yield ''\n"
        "reveal_type(plain)\n"
        "reveal_type(later)\n"
        "reveal_type(stream)\n"
        "plain(3)\n",
        encoding="utf-8",
    )

    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(module)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    ).stdout

    assert 'Revealed type is "def (topic: str, *, limit: int =) -> list[str]"' in checked
    assert 'Revealed type is "def (topic: str) -> typing.Coroutine[Any, Any, bytes]"' in checked
    assert 'Revealed type is "def (n: int) -> typing.AsyncIterator[str]"' in checked
    assert 'Argument 1 to "plain" has incompatible type "int"; expected "str"' in checked
