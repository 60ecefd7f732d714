"""Embeddings and Rerank: lists of texts to requests, vectors and scores to outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from ..comfyui.host import Caller
from ..engine.endpoint import ApiRequest, ApiResult, Endpoint, OnText, json_kind
from ..engine.job import Plan, Results, plan_of_bodies
from ..engine.run import Inputs, run
from ..siliconflow.catalogue import Model, chosen_model, extra_body, require_text, set_values
from ..siliconflow.client import Client
from ..siliconflow.errors import InvalidInput
from ..siliconflow.resources import embeddings, rerank
from ..siliconflow.resources.embeddings import Embeddings
from ..siliconflow.resources.rerank import Ranking
from ..storage.ledger import ResponseMetadata
from ..storage.settings import Settings
from ..strings.text import Text, text
from . import similarity

MAX_TEXTS = 32
"""How many texts one request holds where the catalogue does not know."""
_LONGEST_TOKEN = 16
"""Characters of the longest token there is."""
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
TEXT_LISTS = ("input", "documents")
FIELDS = ("top_n", "max_chunks_per_doc", "overlap_tokens")
_RESERVED = frozenset({"model", "input", "query", "documents", "return_documents"})
EmbeddingOutputs = tuple[torch.Tensor, torch.Tensor, str, str, list[float]]
RankOutputs = tuple[str, list[str], list[float], list[int], str]


async def embed(inputs: Inputs, caller: Caller) -> EmbeddingOutputs:
    """Return the outputs of the Embeddings node; see `embedding_outputs`."""
    values = unpack_lists(inputs)
    prepare = partial(plan_embeddings, values)
    return await run("embedding", values, caller, prepare, embedding_outputs)


async def rerank_texts(inputs: Inputs, caller: Caller) -> RankOutputs:
    """Return the outputs of the Rerank node; see `rerank_outputs`."""
    values = unpack_lists(inputs)
    return await run("rerank", values, caller, partial(plan_rerank, values), rerank_outputs)


def unpack_lists(inputs: Inputs) -> dict[str, Any]:
    """Take a node's inputs out of the lists that ComfyUI gives them in, but for the texts.

    A list of several that is connected to the widget of texts counts as texts too; one of a single
    text looks like what was typed, and is split into lines as that is. To any other input a list
    of several raises `InvalidInput`, for only one of its items could be used.
    """
    lists = {name: value for name, value in inputs.items() if value != []}
    texts = [str(item) for item in lists.pop("texts", []) if item is not None]
    for name in TEXT_LISTS:
        if isinstance(lists.get(name), list) and len(lists[name]) > 1:
            texts += [str(item) for item in lists.pop(name)]
    return {**{name: _single(name, value) for name, value in lists.items()}, "texts": texts}


def _single(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if any(item != value[0] for item in value[1:]):
        raise InvalidInput(name, text("task.list_connected", n=len(value)))
    return value[0]


def texts_of(inputs: Inputs, name: str) -> list[str]:
    """Return the texts of a list that is connected, and those of the widget, one a line."""
    listed = [str(item) for item in inputs.get("texts") or [] if item is not None]
    typed = [line.strip() for line in str(inputs.get(name, "")).splitlines() if line.strip()]
    for number, item in enumerate(listed, 1):
        if not item.strip():
            raise InvalidInput("texts", text("task.empty_text", number=number))
    if not listed and not typed:
        raise InvalidInput(name, text("task.no_text"))
    return [*listed, *typed]


def check_tokens(model: Model, texts: Sequence[str], name: str) -> None:
    """Refuse a text that is surely longer than the model takes; only the service counts exactly."""
    limit = model.context
    if not limit:
        return
    for number, item in enumerate(texts, 1):
        least = least_tokens(item, model.limits.get("han_a_token", _LONGEST_TOKEN))
        if least > limit:
            raise InvalidInput(
                name,
                text(
                    "task.too_many_tokens", number=number, least=least, model=model.id, limit=limit
                ),
            )


def least_tokens(words: str, han_a_token: int) -> int:
    """Return a number of tokens below which no text like this can be.

    No token reaches across white space, nor across the border of Chinese characters, of which
    one token holds `han_a_token` at most.
    """
    runs = (len(run) for run in _HAN.findall(words))
    return len(_HAN.sub(" ", words).split()) + sum(-(-run // han_a_token) for run in runs)


def plan_embeddings(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Embeddings, and split many texts into requests."""
    model = chosen_model("embedding", inputs, settings.site)
    texts = texts_of(inputs, "input")
    extra = extra_body(inputs, _RESERVED | {"encoding_format"})
    check_tokens(model, texts, "input")
    head = {"model": model.id, "encoding_format": "float", **extra}
    size = model.limits.get("texts", MAX_TEXTS)
    bodies = [
        {**head, "input": texts[start : start + size]} for start in range(0, len(texts), size)
    ]
    return plan_of_bodies(model, bodies, _EMBEDDINGS)


def embedding_outputs(results: Results) -> tuple[Text, EmbeddingOutputs]:
    """Return the line that the node shows, and its outputs.

    They are all vectors `[N,D]` float32, the similarity `[N,N]` of each two texts, info (JSON), and
    for nodes that know no tensors the similarities as CSV, and those to the first text as numbers.
    """
    vectors = [vector for embedded in results.items for vector in embedded.vectors]
    if len({len(vector) for vector in vectors}) != 1:
        raise results.unusable(text("task.vectors_differ"))
    tensor = torch.tensor(vectors, dtype=torch.float32)
    cosines = similarity.cosines(tensor)
    count, dimensions = tensor.shape
    tokens = sum(embedded.tokens for embedded in results.items)
    info = results.info(
        texts=count,
        dimensions=dimensions,
        tokens=tokens,
        closest=similarity.closest(cosines),
    )
    texts = [item for request in results.plan.requests for item in request.body["input"]]
    line = text(
        "run.vectors_done",
        size=f"{count}×{dimensions}",
        tokens=text("run.tokens", n=tokens) if tokens else "",
    )
    table = similarity.table(texts, cosines)
    return line, (tensor, cosines, info, table, cosines[0].tolist())


def plan_rerank(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Rerank."""
    model = chosen_model("rerank", inputs, settings.site)
    query = str(inputs.get("query", "")).strip()
    require_text(query, "query")
    texts = texts_of(inputs, "documents")
    values = set_values(inputs, FIELDS)
    if "top_n" in values:
        values["top_n"] = min(int(values["top_n"]), len(texts))
    head = {"model": model.id, "query": query, "documents": texts, "return_documents": False}
    body = {**head, **model.arguments(values), **extra_body(inputs, _RESERVED)}
    return plan_of_bodies(model, [body], _RERANK, model.not_sent(values))


def rerank_outputs(results: Results) -> tuple[Text, RankOutputs]:
    """Return the line that the node shows, and the texts, best first, with scores and places."""
    [ranked] = results.items
    body: Mapping[str, Any] = results.plan.requests[0].body
    texts: Sequence[str] = body["documents"]
    requested = min(len(texts), int(body.get("top_n", len(texts))))
    if len(ranked.indices) < requested:
        count = len(ranked.indices)
        results.note(text("task.fewer_ranked", count=count, requested=requested))
    in_order = [texts[index] for index in ranked.indices]
    scores, indices = list(ranked.scores), list(ranked.indices)
    info = results.info(
        ranked=[
            {"index": index, "score": score, "text": item}
            for index, score, item in zip(indices, scores, in_order, strict=True)
        ]
    )
    line = Text(f"{scores[0]:.3f} · {in_order[0][:200]}")
    return line, (in_order[0], in_order, scores, indices, info)


def _embed(client: Client, request: ApiRequest, _on_text: OnText) -> ApiResult:
    embedded = embeddings.embed(client, request.body)
    return ApiResult([embedded], ResponseMetadata(embedded.trace_id, seconds=embedded.seconds))


def _rerank(client: Client, request: ApiRequest, _on_text: OnText) -> ApiResult:
    ranked = rerank.rerank(client, request.body)
    return ApiResult([ranked], ResponseMetadata(ranked.trace_id, seconds=ranked.seconds))


_EMBEDDINGS = Endpoint(embeddings.PATH, json_kind("vectors", Embeddings), _embed, "vectors")
_RERANK = Endpoint(rerank.PATH, json_kind("ranking", Ranking), _rerank, "ranking")
