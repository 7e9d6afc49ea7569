"""Vectors of texts."""

import json
from pathlib import Path

import numpy as np
import orjson
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from spanwell.errors import ConfigError
from spanwell_proxy.caches.semantic.embedders import EndpointEmbedder, HashingEmbedder, MiniLmEmbedder, gelu

SIZE, WIDE, LAYERS = 24, 48, 2


def write_model(folder: Path) -> None:
    """A BERT of MiniLM's shape, with two small layers of numbers drawn at random."""
    dice = np.random.default_rng(3)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (5, SIZE),
        "embeddings.position_embeddings.weight": (16, SIZE),
    }
    shapes |= {"embeddings.token_type_embeddings.weight": (2, SIZE)}
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        dense: dict[str, tuple[int, ...]] = {
            f"attention.self.{name}": (SIZE, SIZE) for name in ("query", "key", "value")
        }
        dense |= {"attention.output.dense": (SIZE, SIZE)}
        dense |= {"intermediate.dense": (WIDE, SIZE), "output.dense": (SIZE, WIDE)}
        shapes |= {f"{layer}.{name}.weight": shape for name, shape in dense.items()}
        shapes |= {f"{layer}.{name}.bias": shape[:1] for name, shape in dense.items()}
        for norm in (f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"):
            shapes |= {f"{norm}.weight": (SIZE,), f"{norm}.bias": (SIZE,)}
    shapes |= {"embeddings.LayerNorm.weight": (SIZE,), "embeddings.LayerNorm.bias": (SIZE,)}
    head, body = {}, b""
    for name, shape in shapes.items():
        numbers = dice.normal(size=shape).astype(np.float32).tobytes()
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(numbers)]}
        body += numbers
    told = json.dumps(head).encode()
    (folder / "model.safetensors").write_bytes(len(told).to_bytes(8, "little") + told + body)
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "do": 1, "foxes": 2, "sleep": 3, "dream": 4}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


async def test_alike_words_hash_alike() -> None:
    one, same, other = await HashingEmbedder().embed(["Do foxes sleep", "do foxes sleep?", "the price of tin"])

    assert one @ same == pytest.approx(1)
    assert abs(one @ other) < 0.3


async def test_a_bert_of_minilms_shape_makes_unit_vectors(tmp_path: Path) -> None:
    write_model(tmp_path)

    vectors = await MiniLmEmbedder(tmp_path).embed(["do foxes sleep", "do foxes dream", "do foxes sleep"])

    assert vectors.shape == (3, SIZE)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    assert vectors[0] @ vectors[2] == pytest.approx(1)
    assert vectors[0] @ vectors[1] < 0.999


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.safetensors"):
        MiniLmEmbedder(tmp_path)


def test_gelu_is_the_normal_distributions() -> None:
    assert gelu(np.array([-3, -1, 0, 0.5, 2], dtype=np.float32)) == pytest.approx(
        [-0.00404951, -0.15865525, 0, 0.34573123, 1.95449974], abs=1e-6
    )


async def test_an_endpoints_rows_are_put_in_order_and_scaled() -> None:
    async def fetch(body: bytes) -> bytes:
        assert orjson.loads(body) == {"model": "emb", "input": ["a", "b"], "encoding_format": "float"}
        rows = [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]
        return orjson.dumps({"data": rows})

    vectors = await EndpointEmbedder("emb", fetch).embed(["a", "b"])

    assert vectors.tolist() == [pytest.approx([0.6, 0.8]), [0, 1]]


@pytest.mark.parametrize("answer", [{}, {"data": []}, {"data": [{"index": 0, "embedding": "AAAA"}]}, {"data": 7}])
async def test_an_endpoint_without_embeddings_is_told(answer: object) -> None:
    async def fetch(_: bytes) -> bytes:
        return orjson.dumps(answer)

    with pytest.raises(ValueError, match=r"embedding"):
        await EndpointEmbedder("emb", fetch).embed(["a"])
