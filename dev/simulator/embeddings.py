"""`POST /embeddings`: one vector a text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from . import tokens
from .answers import Refused, bad_parameter, too_large
from .sending import reply_json
from .vectors import Vector, embed
from .work import Ask, Work

MOST_TEXTS = 32
DEFAULT_SIZE = 1024
DEFAULT_LIMIT = 512


def answer(ask: Ask) -> Work:
    """Return the vectors of one text, or of a list."""
    given = ask.body["input"]
    texts = [given] if isinstance(given, str) else given
    count = _count(ask, texts)
    size = _size(ask)
    vectors = (embed(text, ask.model.name, size) for text in texts)
    listed = [
        {"object": "embedding", "index": index, "embedding": _show(ask.body, vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": count, "completion_tokens": 0, "total_tokens": count}
    content = {"object": "list", "model": ask.model.name, "data": listed, "usage": usage}
    return Work(reply_json(content), count)


def _count(ask: Ask, texts: list[str]) -> int:
    """Count the tokens; refuse too many texts, and a text that is too long."""
    if len(texts) > MOST_TEXTS:
        message = f"input batch size {len(texts)} > maximum allowed batch size {MOST_TEXTS}"
        raise Refused(bad_parameter(message))
    counts = [tokens.count(text) for text in texts]
    limit = ask.model.traits.get("tokens", DEFAULT_LIMIT)
    if max(counts) > limit:
        raise Refused(too_large(f"input must have less than {limit} tokens"))
    return sum(counts)


def _size(ask: Ask) -> int:
    """Return the length of the vectors; refuse one that the model does not offer."""
    size = int(ask.model.traits.get("size", DEFAULT_SIZE))
    wanted = ask.body.get("dimensions", size)
    sizes = ask.model.traits.get("sizes", [])
    if "dimensions" in ask.body and wanted not in sizes:
        offered = f"one of {sizes}" if sizes else "not offered by this model"
        raise Refused(bad_parameter(f"dimensions: {wanted} is not possible: {offered}"))
    return int(wanted)


def _show(body: Mapping[str, Any], vector: Vector) -> str | list[float]:
    numbers = vector.astype("<f4")
    if body.get("encoding_format") == "base64":
        return base64.b64encode(numbers.tobytes()).decode()
    shown: list[float] = numbers.tolist()
    return shown
