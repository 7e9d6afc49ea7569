"""The estimate is not below what real vocabularies count, and not far above it."""

import base64
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiktoken

from spanwell_proxy.guards.tokens import count_tokens, estimate_tokens

ROOT = Path(__file__).parents[3]
TEXTS = {
    "english": (ROOT / "docs/how-to/trace-an-application.md").read_text(encoding="utf-8"),
    "code": (ROOT / "proxy/spanwell_proxy/steps.py").read_text(encoding="utf-8"),
    "json": (ROOT / "deploy/spanwell.example.yaml").read_text(encoding="utf-8"),
    "german": "Die Katze schläft auf dem Sofa, während die Kinder Geschwindigkeitsbegrenzungen besprechen. " * 5,
    "russian": "Кошка спит на диване, а собака играет в саду, пока дети обсуждают уроки. " * 5,
    "chinese": "猫在沙发上睡觉，狗在花园里玩耍，孩子们讨论周末的计划和作业。" * 8,
    "korean": "고양이는 소파에서 자고 개는 정원에서 놀고 있으며 아이들은 주말 계획에 대해 이야기합니다. " * 5,
    "arabic": "القط ينام على الأريكة بينما يلعب الكلب في الحديقة ويتحدث الأطفال. " * 5,
    "hindi": "बिल्ली सोफे पर सो रही है जबकि कुत्ता बगीचे में खेल रहा है। " * 5,
    "numbers": "3.14159265358979 2718281828 " * 20,
    "base64": base64.b64encode(bytes(range(256)) * 4).decode(),
}


@pytest.fixture(scope="module")
def vocabularies() -> list[tiktoken.Encoding]:
    """Those that LiteLLM brings along: nothing is fetched."""
    spec = find_spec("litellm")
    assert spec
    assert spec.origin
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(Path(spec.origin).parent / "litellm_core_utils/tokenizers"))
        return [tiktoken.get_encoding(name) for name in ("cl100k_base", "o200k_base")]


@pytest.mark.parametrize("name", TEXTS)
def test_the_estimate_is_a_little_high(name: str, vocabularies: list[tiktoken.Encoding]) -> None:
    counted = max(len(one.encode(TEXTS[name], disallowed_special=())) for one in vocabularies)

    assert 0.97 * counted <= estimate_tokens(TEXTS[name]) <= 1.8 * counted


def test_a_message_counts_its_texts_its_frame_and_its_pictures() -> None:
    text = {"role": "user", "content": "word " * 20}
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:" + "x" * 9999}}]}

    assert 20 <= count_tokens(text) <= 40
    assert count_tokens(picture) == 1004


def test_lone_surrogates_are_counted_too() -> None:
    assert estimate_tokens("\ud800" * 10) > 0
