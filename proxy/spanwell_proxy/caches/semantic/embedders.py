"""Makes unit vectors of texts: by an OpenAI-compatible endpoint, by MiniLM in numpy, or by hashing for tests."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any, Final, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt
import orjson
from tokenizers import Tokenizer

from spanwell.errors import ConfigError

Vectors = npt.NDArray[np.float32]
Fetch = Callable[[bytes], Awaitable[bytes]]  # the body of a request for embeddings; its answer's

HASHED_DIMENSIONS: Final = 512
WORD: Final = re.compile(r"\w+")
MOST_TOKENS: Final = 256
# Of sentence-transformers/all-MiniLM-L6-v2, and of nearly all BERTs of its family.
HEADS: Final = 12
LAYER_NORM_EPS: Final = 1e-12


class Embedder(Protocol):
    """`embed` gives one row a text; each has the length 1."""

    async def embed(self, texts: Sequence[str]) -> Vectors: ...


class EndpointEmbedder:
    """A model behind this proxy. Raises ValueError for an answer that is none."""

    def __init__(self, model: str, fetch: Fetch) -> None:
        self._model = model
        self._fetch = fetch

    async def embed(self, texts: Sequence[str]) -> Vectors:
        body = orjson.dumps({"model": self._model, "input": list(texts), "encoding_format": "float"})
        answer = orjson.loads(await self._fetch(body))
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("the embedding model answered without embeddings") from error
        if len(vectors) != len(texts) or vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError("the embedding model answered with other embeddings than it was asked for")
        return scale(vectors)


class HashingEmbedder:
    """Words and pairs of them by their hash: alike where the words are. Needs nothing; for tests, and to try it out."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), HASHED_DIMENSIONS), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            words = WORD.findall(text.lower())
            for feature in (*words, *map(" ".join, pairwise(words))):
                row[crc32(feature.encode()) % HASHED_DIMENSIONS] += 1.0
        return scale(vectors)


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 without torch: `model.safetensors` and `tokenizer.json` of `folder`. 5 to 70 ms a text."""

    def __init__(self, folder: Path) -> None:
        try:
            self._weights = read_safetensors(folder / "model.safetensors")
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{folder}: needs model.safetensors and tokenizer.json of all-MiniLM-L6-v2") from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm")  # other calls go on meanwhile
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._layers = 1 + max(int(name.split(".")[2]) for name in self._weights if name.startswith("encoder.layer."))

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed_all, texts)

    def _embed_all(self, texts: Sequence[str]) -> Vectors:
        return scale(np.stack([self._embed(text) for text in texts]))

    def _embed(self, text: str) -> Vectors:
        """One text at a time: padding in a batch costs more than it saves."""
        tokens = self._tokenizer.encode(text).ids
        hidden = self._weights["embeddings.word_embeddings.weight"][tokens]
        hidden = hidden + self._weights["embeddings.position_embeddings.weight"][: len(tokens)]
        hidden = hidden + self._weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._normalise(hidden, "embeddings.LayerNorm")
        for layer in range(self._layers):
            hidden = self._encode(hidden, f"encoder.layer.{layer}")
        mean: Vectors = hidden.mean(axis=0)
        return mean

    def _encode(self, hidden: Vectors, layer: str) -> Vectors:
        size = hidden.shape[1] // HEADS
        query, key, value = (
            self._apply(hidden, f"{layer}.attention.self.{name}").reshape(-1, HEADS, size).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        weights = query @ key.transpose(0, 2, 1) / np.float32(sqrt(size))
        weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        context = (weights @ value).transpose(1, 0, 2).reshape(hidden.shape)
        attended = self._apply(context, f"{layer}.attention.output.dense") + hidden
        attended = self._normalise(attended, f"{layer}.attention.output.LayerNorm")
        grown = gelu(self._apply(attended, f"{layer}.intermediate.dense"))
        return self._normalise(self._apply(grown, f"{layer}.output.dense") + attended, f"{layer}.output.LayerNorm")

    def _apply(self, hidden: Vectors, name: str) -> Vectors:
        result: Vectors = hidden @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _normalise(self, hidden: Vectors, name: str) -> Vectors:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + LAYER_NORM_EPS)
        result: Vectors = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result


def gelu(x: Vectors) -> Vectors:
    """x times the normal distribution's function, by formula 7.1.26 of Abramowitz and Stegun (error below 1.5e-7)."""
    z = np.abs(x) / np.float32(sqrt(2))
    t = 1 / (1 + 0.3275911 * z)
    series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    result: Vectors = (0.5 * x * (1 + erf)).astype(np.float32)
    return result


def read_safetensors(path: Path) -> dict[str, Vectors]:
    """Tensors by name: a length of eight bytes, so many bytes of JSON, then the numbers."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    head: dict[str, Any] = json.loads(content[8 : 8 + length])
    tensors = {}
    for name, told in head.items():
        if name != "__metadata__" and told["dtype"] == "F32":
            begin, end = (8 + length + offset for offset in told["data_offsets"])
            flat = np.frombuffer(content[begin:end], dtype=np.float32)
            tensors[name.removeprefix("bert.")] = flat.reshape(told["shape"])
    return tensors


def scale(vectors: Vectors) -> Vectors:
    """To the length 1; a row of noughts stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return result
