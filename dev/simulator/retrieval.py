"""`POST /embeddings` and `POST /rerank`: texts and images, compared by the words they share."""

from __future__ import annotations

import base64
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .images import describe, read_image
from .models import TOKEN, Call, Result, Usage, count_image_tokens, count_tokens
from .responses import Refused, bad_parameter, json_reply

Vector = NDArray[np.float64]

# A Chinese, Japanese or Korean character is a word.
WORD = re.compile(r"[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\W\u3000-\u9fff\uac00-\ud7af]+")
WORD_WEIGHT, LETTERS = 3.0, 3
MOST_INPUTS, DEFAULT_SIZE, DEFAULT_CONTEXT = 32, 1024, 512
CHUNK, MOST_CHUNKS, OVERLAP = 512, 1024, 80
CHUNK_FIELDS = ("max_chunks_per_doc", "overlap_tokens")


def embeddings(call: Call) -> Result:
    """Return the vectors of one input, or of a list."""
    body, traits = call.body, call.model.traits
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    if len(given) > MOST_INPUTS:
        message = f"input batch size {len(given)} > maximum allowed batch size {MOST_INPUTS}"
        raise Refused(bad_parameter(message))
    texts, usage = _read(call, "input", given)
    limit = traits.get("context", DEFAULT_CONTEXT)
    if max(map(count_tokens, texts)) > limit:
        raise Refused(bad_parameter(f"input must have less than {limit} tokens", 413, 20042))
    size = int(traits.get("size", DEFAULT_SIZE))
    if "dimensions" in body:
        sizes = traits.get("sizes", [])
        if body["dimensions"] not in sizes:
            offered = f"one of {sizes}" if sizes else "not offered by this model"
            words = f"dimensions: {body['dimensions']} is not possible: {offered}"
            raise Refused(bad_parameter(words))
        size = body["dimensions"]
    listed: list[dict[str, Any]] = []
    for text in texts:
        vector = embed(text, call.model.name, size).astype("<f4")
        coded = body.get("encoding_format") == "base64"
        shown = base64.b64encode(vector.tobytes()).decode() if coded else vector.tolist()
        listed.append({"object": "embedding", "index": len(listed), "embedding": shown})
    used = {"prompt_tokens": usage.tokens, "completion_tokens": 0, "total_tokens": usage.tokens}
    content = {"object": "list", "model": call.model.name, "data": listed, "usage": used}
    return Result(lambda _: json_reply(content), usage)


def rerank(call: Call) -> Result:
    """Return the documents' places and scores, the best first."""
    body = call.body
    if call.state.day.has("newer-reranker-fields"):
        unknown = ("instruction",) if call.model.traits.get("chunks") else CHUNK_FIELDS
        for name in filter(body.__contains__, unknown):
            words = f"{call.model.name} does not support parameter `{name}`."
            raise Refused(bad_parameter(words))
    documents, usage = _read(call, "documents", body["documents"])
    (query,), query_usage = _read(call, "query", [body["query"]])
    scores = [_score(body, query, document) for document in documents]
    order = sorted(range(len(documents)), key=lambda index: (-scores[index], index))
    listed = []
    for index in order[: body.get("top_n")]:
        shown: dict[str, Any] = {"index": index, "relevance_score": scores[index]}
        if body.get("return_documents"):
            sent = body["documents"][index]
            shown["document"] = {"text": sent} if isinstance(sent, str) else sent
        listed.append(shown)
    usage = Usage(
        input_tokens=usage.input_tokens + query_usage.input_tokens * len(documents),
        image_tokens=usage.image_tokens + query_usage.image_tokens * len(documents),
    )
    used = {"input_tokens": usage.tokens, "output_tokens": 0}
    content = {"id": call.trace_id, "results": listed, "tokens": used}
    return Result(lambda _: json_reply(content), usage)


def _read(call: Call, field: str, given: list[Any]) -> tuple[list[str], Usage]:
    """Return each input in words, and its tokens; raise Refused for an image or object too many."""
    texts, words, seen = [], 0, 0
    for number, each in enumerate(given):
        item = {"text": each} if isinstance(each, str) else each
        if not isinstance(each, str) and not call.model.traits.get("vision"):
            raise Refused(bad_parameter(f"{field}.{number}: Input should be a valid string"))
        text = item.get("text", "")
        words += count_tokens(text)
        if "image" in item:
            sent = read_image(call.state, f"{field}.{number}.image", item["image"])
            seen += count_image_tokens(sent.image.size if sent.image else (448, 448))
            text = f"{text} {describe(sent)}"
        texts.append(text)
    return texts, Usage(input_tokens=words, image_tokens=seen)


def weights(text: str) -> dict[str, float]:
    """Return what a text is made of: its words, and the letters that stand together in them."""
    fragments: Counter[str] = Counter()
    for word in WORD.findall(text.lower()):
        # A plural is nearly the same word.
        stem = word[:-1] if len(word) > LETTERS and word.endswith("s") else word
        padded = f" {stem} "
        fragments[padded] += 1
        fragments.update(padded[at : at + LETTERS] for at in range(len(padded) - LETTERS + 1))
    # A text of marks alone has a vector too.
    fragments = fragments or Counter({f"\0{text}": 1})
    return {
        name: float(np.sqrt(count)) * (WORD_WEIGHT if len(name) > LETTERS else 1.0)
        for name, count in fragments.items()
    }


def embed(text: str, model: str, size: int) -> Vector:
    """Return the vector of a text, of length one; each model has vectors of its own."""
    vector = np.zeros(size)
    for name, weight in weights(text).items():
        number = zlib.crc32(f"{model}/{name}".encode())
        vector[number % size] += weight * (1 if number >> 31 else -1)
    if not vector.any():
        # Parts that cancel each other out: rare, and no reason for a vector of zeros.
        vector[zlib.crc32(text.encode()) % size] = 1.0
    unit: Vector = vector / np.linalg.norm(vector)
    return unit


def _score(body: Mapping[str, Any], query: str, document: str) -> float:
    """Return from 0 to 1 how much of a query the best chunk of a document holds, and no more."""
    pieces = TOKEN.findall(document)
    step = CHUNK - body.get("overlap_tokens", OVERLAP)
    starts = range(0, max(1, len(pieces)), step)[: body.get("max_chunks_per_doc", MOST_CHUNKS)]
    wanted, best = weights(query), 0.0
    for start in starts:
        held = weights("".join(pieces[start : start + CHUNK]))
        shared = sum(min(weight, held.get(name, 0.0)) for name, weight in wanted.items())
        alike = shared / (sum(wanted.values()) + sum(held.values()) - shared)
        best = max(best, 0.8 * shared / sum(wanted.values()) + 0.2 * alike)
    return round(best, 6)
