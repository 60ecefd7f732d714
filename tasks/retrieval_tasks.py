"""Embeddings and Rerank: texts and images to requests, vectors and scores to outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count as count_from
from typing import Any

import torch

from ..comfyui.host import Caller
from ..engine.endpoint import ApiRequest, ApiResult, Endpoint, OnText, json_kind
from ..engine.job import Mend, Plan, Results, plan_of_bodies
from ..engine.run import Inputs, run
from ..engine.threads import CPU
from ..media.data_urls import DataUrl, UploadFormat, digest_of, encode
from ..siliconflow.catalogue import (
    Model,
    Usage,
    chosen_model,
    extra_body,
    merged,
    require_text,
    set_values,
)
from ..siliconflow.client import Client
from ..siliconflow.errors import BadRequest, InvalidInput, UploadTooLarge
from ..siliconflow.resources import embeddings, rerank
from ..siliconflow.resources.embeddings import Embeddings
from ..siliconflow.resources.rerank import Ranking
from ..storage.ledger import ResponseMetadata
from ..storage.settings import Settings
from ..strings.text import Text, text
from . import similarity
from .image_inputs import require_image, require_sight, tokens_at_most

Item = str | dict[str, str]
"""A text, or beside images `{"text": text}` and `{"image": data URL}`."""
MAX_TEXTS = 32
"""How many texts and images one request holds where the catalogue does not know."""
MAX_PIXELS = 1 << 20
"""Pixels of an image where the catalogue does not know: enough to tell what it shows."""
MAX_IMAGE_BYTES = 4_000_000
"""Bytes of images in one request of several: some gateways let no more pass (service-2026)."""
_LONGEST_TOKEN = 16
"""Characters of the longest token there is."""
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
TEXT_LISTS = ("input", "documents")
FIELDS = ("top_n", "max_chunks_per_doc", "overlap_tokens", "instruction")
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
    """Take a node's inputs out of the lists that ComfyUI gives them in, but for texts and images.

    A list of several that is connected to the widget of texts counts as texts too; one of a single
    text looks like what was typed, and is split into lines as that is. To any other input a list
    of several raises `InvalidInput`, for only one of its items could be used.
    """
    lists = {name: value for name, value in inputs.items() if value != []}
    texts = [str(item) for item in lists.pop("texts", []) if item is not None]
    images = [item for item in lists.pop("image", []) if item is not None]
    for name in TEXT_LISTS:
        if isinstance(lists.get(name), list) and len(lists[name]) > 1:
            texts += [str(item) for item in lists.pop(name)]
    single = {name: _single(name, value) for name, value in lists.items()}
    return {**single, "texts": texts, "image": images}


def _single(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if any(item != value[0] for item in value[1:]):
        raise InvalidInput(name, text("task.list_connected", n=len(value)))
    return value[0]


def texts_of(inputs: Inputs, name: str) -> list[str]:
    """Return the texts of a list that is connected, and those of the widget, one a line.

    Raises `InvalidInput` for an empty text, and if there is none and no image either.
    """
    listed = [str(item) for item in inputs.get("texts") or [] if item is not None]
    typed = [line.strip() for line in str(inputs.get(name, "")).splitlines() if line.strip()]
    for number, item in enumerate(listed, 1):
        if not item.strip():
            raise InvalidInput("texts", text("task.empty_text", number=number))
    if not listed and not typed and not inputs.get("image"):
        raise InvalidInput(name, text("task.no_text"))
    return [*listed, *typed]


def check_tokens(model: Model, texts: Sequence[str], connected: int) -> None:
    """Refuse a text that is surely longer than the model takes; only the service counts exactly."""
    limit = model.context
    if not limit:
        return
    for number, item in enumerate(texts, 1):
        least = least_tokens(item, model.limits.get("han_a_token", _LONGEST_TOKEN))
        if least > limit:
            raise InvalidInput(
                "texts" if number <= connected else "input",
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
    values = set_values(inputs, ("dimensions",))
    not_sent = model.not_sent(values)
    extra = extra_body(inputs, _RESERVED | {"encoding_format"})
    check_tokens(model, texts, connected=len(inputs.get("texts") or ()))
    head = {"model": model.id, "encoding_format": "float", **model.arguments(values)}
    items, notes, mend = _items("embedding", model, texts, inputs, settings)
    parts = _parts(items, model.limits.get("texts", MAX_TEXTS))
    bodies = [{**merged(head, extra), "input": part} for part in parts]
    if not_sent:
        names = ", ".join(not_sent)
        notes.append(text("task.fields_not_sent", model=model.id, names=names))
    return replace(plan_of_bodies(model, bodies, _EMBEDDINGS, not_sent, notes), mend=mend)


def _items(
    task: str, model: Model, texts: Sequence[str], inputs: Inputs, settings: Settings
) -> tuple[list[Item], list[Text], Mend | None]:
    """Return the texts and then the frames of the images as a request holds them, and notes.

    The last of the three makes a request smaller whose images are too large.
    """
    images = inputs.get("image") or ()
    if not images:
        return [*texts], [], None
    require_sight("image", model, task)
    for image in images:
        require_image("image", image)
    frames = [frame for image in images for frame in image]
    limit = model.limits.get("images", len(frames))
    if len(frames) > limit:
        raise InvalidInput("image", text("task.too_many_ranked", n=len(frames), limit=limit))
    most = min(filter(None, (settings.upload_side**2, model.limits.get("pixels", MAX_PIXELS))))
    upload_format: UploadFormat = "png" if settings.upload_format == "png" else "lossy"
    with CPU:
        encoded = [encode(frame, model.upload, upload_format, most) for frame in frames]
    scaled = [image for image in encoded if image.scaled_from]
    notes = [text("task.images_scaled", n=len(scaled), pixels=most)] if scaled else []
    urls: list[str] = [
        DataUrl(image.url, digest_of(frame, most))
        for image, frame in zip(encoded, frames, strict=True)
    ]
    items: list[Item] = [*({"text": item} for item in texts), *({"image": url} for url in urls)]
    frames_by_url = dict(zip(urls, frames, strict=True))

    def smaller(item: Item) -> Item:
        frame = frames_by_url.get(item.get("image", "")) if isinstance(item, dict) else None
        if frame is None:
            return item
        pixels = min(most, frame.shape[0] * frame.shape[1]) // 4
        with CPU:
            return {"image": encode(frame, model.upload, "lossy", pixels).url.decode()}

    def mend(error: BadRequest, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], Text] | None:
        if not isinstance(error, UploadTooLarge):
            return None
        name = next(name for name in TEXT_LISTS if name in body)
        return {**body, name: [*map(smaller, body[name])]}, text("task.images_sent_smaller")

    return items, notes, mend


def _parts(items: Sequence[Item], most: int) -> Iterator[list[Item]]:
    """Yield the items in parts of at most `most`, with at most `MAX_IMAGE_BYTES` of images."""
    part: list[Item] = []
    size = 0
    for item in items:
        added = len(item.get("image", "")) if isinstance(item, dict) else 0
        if len(part) == most or (part and size + added > MAX_IMAGE_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += added
    yield part


def _names(items: Sequence[Item]) -> list[str]:
    """Return what stands for each item in the outputs: its text, or `image 1`, `image 2`, ..."""
    numbers = count_from(1)
    texts = (item if isinstance(item, str) else item.get("text") for item in items)
    return [item or f"image {next(numbers)}" for item in texts]


def embedding_outputs(results: Results) -> tuple[Text, EmbeddingOutputs]:
    """Return the line that the node shows, and its outputs.

    They are all vectors `[N,D]` float32, those of the images behind those of the texts, the
    similarity `[N,N]` of each two, info (JSON), and for nodes that know no tensors the similarities
    as CSV, and those to the first as numbers.
    """
    vectors = [vector for embedded in results.items for vector in embedded.vectors]
    if len({len(vector) for vector in vectors}) != 1:
        raise results.unusable(text("task.vectors_differ"))
    tensor = torch.tensor(vectors, dtype=torch.float32)
    cosines = similarity.cosines(tensor)
    count, dimensions = tensor.shape
    tokens = sum(embedded.tokens for embedded in results.items)
    items = [item for request in results.plan.requests for item in request.body["input"]]
    images = sum(isinstance(item, dict) and "image" in item for item in items)
    info = results.info(
        texts=count - images,
        **({"images": images} if images else {}),
        dimensions=dimensions,
        tokens=tokens,
        closest=similarity.closest(cosines),
    )
    line = text(
        "run.vectors_done",
        size=f"{count}×{dimensions}",
        tokens=text("run.tokens", n=tokens) if tokens else "",
    )
    table = similarity.table(_names(items), cosines)
    return line, (tensor, cosines, info, table, cosines[0].tolist())


def plan_rerank(inputs: Inputs, settings: Settings) -> Plan:
    """Check the inputs of Rerank."""
    model = chosen_model("rerank", inputs, settings.site)
    query = str(inputs.get("query", "")).strip()
    require_text(query, "query")
    texts = texts_of(inputs, "documents")
    values = set_values(inputs, FIELDS)
    extra = extra_body(inputs, _RESERVED)
    items, notes, mend = _items("rerank", model, texts, inputs, settings)
    if "top_n" in values:
        values["top_n"] = min(int(values["top_n"]), len(items))
    head = {"model": model.id, "query": query, "documents": items, "return_documents": False}
    body = merged({**head, **model.arguments(values)}, extra)
    plan = plan_of_bodies(model, [body], _RERANK, model.not_sent(values), notes)
    return replace(plan, mend=mend)


def rerank_outputs(results: Results) -> tuple[Text, RankOutputs]:
    """Return the line that the node shows, and the texts, best first, with scores and places.

    An image is `image 1`, counted from 1; its place is that behind all texts.
    """
    [ranked] = results.items
    body: Mapping[str, Any] = results.plan.requests[0].body
    texts = _names(body["documents"])
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
    metadata = ResponseMetadata(embedded.trace_id, seconds=embedded.seconds)
    return ApiResult([embedded], metadata, _used(request.body["input"], embedded.tokens or None))


def _rerank(client: Client, request: ApiRequest, _on_text: OnText) -> ApiResult:
    ranked = rerank.rerank(client, request.body)
    metadata = ResponseMetadata(ranked.trace_id, seconds=ranked.seconds)
    return ApiResult([ranked], metadata, _used(request.body["documents"], ranked.tokens))


def _used(items: Sequence[Item], tokens: int | None) -> Usage:
    """Return what was used; among images all of it as theirs, for they are not told apart."""
    if tokens is None:
        return {}
    images = any(isinstance(item, dict) and "image" in item for item in items)
    return {"input": 0, "input_images": tokens} if images else {"input": tokens}


def _at_most(items: Sequence[Item], query: str = "") -> Usage:
    """Return what items use at most, with the query that each is compared with."""
    texts = [item if isinstance(item, str) else item.get("text", "") for item in items]
    images = sum(isinstance(item, dict) and "image" in item for item in items)
    return {
        "input": tokens_at_most(texts) + tokens_at_most([query] * len(texts)),
        "input_images": tokens_at_most([], images),
    }


_EMBEDDINGS = Endpoint(
    embeddings.PATH,
    json_kind("vectors", Embeddings),
    _embed,
    "vectors",
    usage=lambda body: _at_most(body["input"]),
)
_RERANK = Endpoint(
    rerank.PATH,
    json_kind("ranking", Ranking),
    _rerank,
    "ranking",
    usage=lambda body: _at_most(body["documents"], body["query"]),
)
