"""`POST /rerank`: documents in the order in which they answer a query."""

from __future__ import annotations

from typing import Any

from . import tokens
from .sending import reply_json
from .vectors import relevance
from .work import Ask, Work

CHUNK = 512
MOST_CHUNKS = 1024
OVERLAP = 80


def answer(ask: Ask) -> Work:
    """Return the documents' places and scores, the best first."""
    body = ask.body
    documents: list[str] = body["documents"]
    scores = [_score(ask, document) for document in documents]
    order = sorted(range(len(documents)), key=lambda index: (-scores[index], index))
    listed = [_show(ask, index, scores[index]) for index in order[: body.get("top_n")]]
    count = sum(map(tokens.count, documents)) + tokens.count(body["query"]) * len(documents)
    used = {"input_tokens": count, "output_tokens": 0}
    return Work(reply_json({"id": ask.id, "results": listed, "tokens": used}), count)


def _score(ask: Ask, document: str) -> float:
    """Return the score of the best chunk of a document."""
    pieces = tokens.split(document)
    step = CHUNK - ask.body.get("overlap_tokens", OVERLAP)
    starts = range(0, max(1, len(pieces)), step)[: ask.body.get("max_chunks_per_doc", MOST_CHUNKS)]
    chunks = ("".join(pieces[start : start + CHUNK]) for start in starts)
    return max(relevance(ask.body["query"], chunk) for chunk in chunks)


def _show(ask: Ask, index: int, score: float) -> dict[str, Any]:
    shown: dict[str, Any] = {"index": index, "relevance_score": score}
    if ask.body.get("return_documents"):
        shown["document"] = {"text": ask.body["documents"][index]}
    return shown
