"""What Embeddings and Rerank ask for, and what they make of the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..engine.endpoint import ApiRequest, ApiResult, Endpoint, OnText, as_file, from_file
from ..siliconflow.catalogue import Model
from ..siliconflow.client import Client
from ..siliconflow.errors import InvalidInput
from ..siliconflow.fields import require_text
from ..siliconflow.resources import embeddings, rerank
from ..siliconflow.resources.embeddings import Embeddings
from ..siliconflow.resources.rerank import Ranking
from ..storage.settings import Settings
from ..strings.text import Text
from . import similarity
from .plan import Plan, chosen_model, extra_body, set_values, without_pictures
from .results import Results, and_tokens

MOST_TEXTS = 32
"""How many texts one request holds where the catalogue does not know."""
_LONGEST_PIECE = 16
"""Characters of the longest token there is."""
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
LISTS = ("input", "documents")
FIELDS = ("top_n", "max_chunks_per_doc", "overlap_tokens")
_RESERVED = frozenset({"model", "input", "query", "documents", "return_documents"})
Inputs = Mapping[str, Any]


def single(inputs: Inputs) -> dict[str, Any]:
    """Take a node's inputs out of the lists that ComfyUI gives them in, but for the texts.

    A list of several that is connected to the widget of texts counts as texts too; one of a single
    text looks like what was typed, and is split into lines as that is. To any other input a list
    of several raises `InvalidInput`, for only one of its items could be used.
    """
    found = {name: value for name, value in inputs.items() if value != []}
    texts = [str(text) for text in found.pop("texts", []) if text is not None]
    for name in LISTS:
        value = found.get(name)
        if isinstance(value, list) and len(value) > 1:
            texts += [str(text) for text in found.pop(name)]
    return {**{name: _only(name, value) for name, value in found.items()}, "texts": texts}


def _only(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if any(item != value[0] for item in value[1:]):
        raise InvalidInput(
            name,
            Text(
                f"a list of {len(value)} is connected; it takes one value",
                f"连接了 {len(value)} 个值的列表，这里只接受一个值",
            ),
        )
    return value[0]


def texts_of(inputs: Inputs, name: str) -> list[str]:
    """Give the texts of a list that is connected, and those of the widget, one a line."""
    listed = [str(text) for text in inputs.get("texts") or [] if text is not None]
    typed = [line.strip() for line in str(inputs.get(name, "")).splitlines() if line.strip()]
    for place, text in enumerate(listed, 1):
        if not text.strip():
            raise InvalidInput("texts", Text(f"number {place} is empty", f"第 {place} 段是空的"))
    if not listed and not typed:
        raise InvalidInput(name, Text("has no text in it", "没有文字"))
    return [*listed, *typed]


def check_tokens(model: Model, texts: Sequence[str], name: str) -> None:
    """Refuse a text that is surely longer than the model takes; only the service counts exactly."""
    most = model.limits.get("tokens")
    if not most:
        return
    for place, text in enumerate(texts, 1):
        least = least_tokens(text, model.limits.get("han_a_token", _LONGEST_PIECE))
        if least > most:
            raise InvalidInput(
                name,
                Text(
                    f"number {place} has at least {least} tokens; {model.id} takes {most}."
                    " Shorten or split it",
                    f"第 {place} 段至少有 {least} 个 token，{model.id} 最多接受 {most} 个，"
                    "请缩短或拆分",
                ),
            )


def least_tokens(text: str, han_a_token: int) -> int:
    """Give a number of tokens below which no text like this can be.

    No token reaches across white space, nor across the border of Chinese characters, of which
    one token holds `han_a_token` at most.
    """
    runs = (len(run) for run in _HAN.findall(text))
    return len(_HAN.sub(" ", text).split()) + sum(-(-run // han_a_token) for run in runs)


def embedding_plan(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Embeddings, and split many texts into requests."""
    model = chosen_model("embedding", inputs, settings.site)
    texts = texts_of(inputs, "input")
    extra = extra_body(str(inputs.get("extra_body", "")), _RESERVED | {"encoding_format"})
    head = {"model": model.id, "encoding_format": "float", **extra}
    check_tokens(model, texts, "input")
    most = model.limits.get("texts", MOST_TEXTS)
    parts = [texts[at : at + most] for at in range(0, len(texts), most)]
    return without_pictures(model, [{**head, "input": part} for part in parts], _EMBEDDING)


EmbeddingOutputs = tuple[torch.Tensor, torch.Tensor, str, str, list[float]]


def embedding_outputs(came: Results) -> tuple[Text, EmbeddingOutputs]:
    """Give all vectors as one tensor, and how alike each two texts are.

    The latter as a tensor, and for nodes that know none: as a table, and to the first text as
    numbers.
    """
    vectors = [vector for found in came.items for vector in found.vectors]
    if len({len(vector) for vector in vectors}) != 1:
        raise came.unusable(Text("its vectors are of several lengths", "各向量长度不同"))
    tensor = torch.tensor(vectors, dtype=torch.float32)
    alike = similarity.cosines(tensor)
    count, width = tensor.shape
    tokens = sum(found.tokens for found in came.items)
    info = came.info(
        texts=count, dimensions=width, tokens=tokens, closest=similarity.closest(alike)
    )
    texts = [text for ask in came.plan.asks for text in ask.body["input"]]
    table, to_first = similarity.table(texts, alike), alike[0].tolist()
    said = and_tokens(tokens)
    line = Text(f"{count} x {width}{said.en}", f"{count} x {width}{said.zh}")
    return line, (tensor, alike, info, table, to_first)


def rerank_plan(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Rerank."""
    model = chosen_model("rerank", inputs, settings.site)
    query = str(inputs.get("query", "")).strip()
    require_text(query, "query")
    texts = texts_of(inputs, "documents")
    values = set_values(inputs, FIELDS)
    if "top_n" in values:
        values["top_n"] = min(int(values["top_n"]), len(texts))
    extra = extra_body(str(inputs.get("extra_body", "")), _RESERVED)
    head = {"model": model.id, "query": query, "documents": texts, "return_documents": False}
    body = {**head, **model.arguments(values), **extra}
    return without_pictures(model, [body], _RERANKING, model.not_sent(values))


RankOutputs = tuple[str, list[str], list[float], list[int], str]


def rerank_outputs(came: Results) -> tuple[Text, RankOutputs]:
    """Give the texts with the best first, their scores, and where each stood."""
    [found] = came.items
    body = came.plan.asks[0].body
    texts: Sequence[str] = body["documents"]
    asked = min(len(texts), int(body.get("top_n", len(texts))))
    if len(found.indices) < asked:
        came.note(
            Text(
                f"{len(found.indices)} of {asked} texts were ranked.",
                f"要了 {asked} 条文本的排序，只收到 {len(found.indices)} 条。",
            )
        )
    ranked = [texts[index] for index in found.indices]
    scores, indices = list(found.scores), list(found.indices)
    info = came.info(
        ranked=[
            {"index": index, "score": score, "text": text}
            for index, score, text in zip(indices, scores, ranked, strict=True)
        ]
    )
    line = f"{scores[0]:.3f} · {ranked[0][:200]}"
    return Text(line, line), (ranked[0], ranked, scores, indices, info)


def _embed(client: Client, order: ApiRequest, _hear: OnText) -> ApiResult:
    return as_file(embeddings.embed(client, order.body))


def _rerank(client: Client, order: ApiRequest, _hear: OnText) -> ApiResult:
    return as_file(rerank.rerank(client, order.body))


_EMBEDDING = Endpoint(
    embeddings.PATH,
    _embed,
    from_file(Embeddings),
    Text("the vectors", "向量"),
    Text("vectors", "向量"),
)
_RERANKING = Endpoint(rerank.PATH, _rerank, from_file(Ranking), Text("the ranks", "排序"))
