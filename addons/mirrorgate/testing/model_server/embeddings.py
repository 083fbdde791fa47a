"""`/v1/embeddings`: vectors of unit length that are near each other when the texts share words."""

from __future__ import annotations

import base64
import functools
import math
import random
import re
import struct
from collections.abc import Mapping
from typing import Any

from . import api_errors
from .api_errors import ApiError
from .asks import count_tokens
from .behaviour import Behaviour, Defect
from .generation import digest

__all__ = ["embed", "embeddings"]


def embeddings(
    body: Mapping[str, Any], behaviour: Behaviour, identifier: str, created: int
) -> dict[str, Any] | ApiError:
    """Return the body of an answer, or vLLM's error."""
    given = body.get("input")
    if isinstance(given, str):
        texts = [given]
    elif isinstance(given, list) and given:
        texts = [str(each) for each in given]
    else:
        return api_errors.missing_field("input")
    served = behaviour.models + behaviour.adapters
    model = body.get("model") or served[0]
    if model not in served:
        return api_errors.unknown_model(str(model), served)
    dimensions = body.get("dimensions") or behaviour.embedding_dimensions
    if not isinstance(dimensions, int) or not 0 < dimensions <= 4096:
        return api_errors.missing_field("dimensions")
    packed = body.get("encoding_format") == "base64"
    vectors = [embed(text, behaviour, dimensions) for text in texts]
    tokens = sum(count_tokens(text) + 2 for text in texts)
    return {
        "id": f"embd-{identifier}",
        "object": "list",
        "created": created,
        "model": model,
        "data": [
            {
                "index": index,
                "object": "embedding",
                "embedding": _pack(vector) if packed else list(vector),
            }
            for index, vector in enumerate(vectors)
        ],
        "usage": {
            "prompt_tokens": tokens,
            "total_tokens": tokens,
            "completion_tokens": 0,
            "prompt_tokens_details": None,
        },
    }


def embed(text: str, behaviour: Behaviour, dimensions: int) -> tuple[float, ...]:
    """Return the sum of a vector for each word, made one long; quantisation noise adds a little of its own."""
    words = re.findall(r"\w+", text.lower()) or [""]
    total = [0.0] * dimensions
    for word in words:
        for index, value in enumerate(_word_vector(behaviour.personality, word, dimensions)):
            total[index] += value
    if behaviour.has(Defect.QUANTISATION_NOISE):
        noise = _word_vector("noise", text, dimensions)
        total = [value + 0.1 * math.sqrt(len(words)) * noise[index] for index, value in enumerate(total)]
    length = math.sqrt(sum(value * value for value in total)) or 1.0
    return tuple(value / length for value in total)


@functools.lru_cache(maxsize=4096)
def _word_vector(personality: str, word: str, dimensions: int) -> tuple[float, ...]:
    rng = random.Random(digest("embedding", personality, word))
    return tuple(rng.gauss(0.0, 1.0) for _ in range(dimensions))


def _pack(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
