"""What the nodes of a prompt are going to make and cost, before the first of them begins.

ComfyUI has the whole graph of a prompt. A node whose inputs all stand there is planned as it will
be when it runs, and what the ledger has of it costs nothing. What comes from other nodes is not
known yet: something stands in for a text, an image counts as many frames as the graph says, or as
the node that has begun makes, one if nothing says it, and a node whose model is not known counts
nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from ..comfyui import host
from ..comfyui.host import Caller
from ..siliconflow import catalogue
from ..siliconflow.client import Client
from ..storage.ledger import Ledger
from ..storage.settings import Settings
from ..strings.text import SiliconFlowError
from .job import ANY_SEED, Job, Plan, draw_seed
from .lifecycle import RequestLifecycle
from .spending import Bill, Share

PLANNERS: dict[str, Callable[[Mapping[str, Any], Settings], Plan]] = {}
"""How the requests of a paid task are planned from its inputs; the tasks are entered here."""
REMEMBERED = 1024
"""How many nodes that this process has run to their end are remembered."""
MOST_FRAMES = 1000
"""More frames of one node are not planned before they are there: so many are asked about anyway."""
_IMAGE_INPUTS = ("image", "image2", "image3", "image4")
_TEXT_INPUTS = ("prompt", "input", "query", "documents")
_MODEL_INPUTS = {"model", "custom_model"}
_STAND_IN = "?"
_SIDE = 64
"""Pixels of an image that stands in for one that is not there yet."""
BATCHES: Mapping[str, Mapping[str, str | int]] = {
    "fixed": {"LoadImage": 1, "LoadImageMask": 1, "LoadImageOutput": 1, "SolidMask": 1},
    "counted": dict.fromkeys(
        ("EmptyImage", "EmptyLatentImage", "EmptySD3LatentImage"), "batch_size"
    ),
    "repeated": {"RepeatImageBatch": "amount", "RepeatLatentBatch": "amount"},
    "cut": {"ImageFromBatch": "length", "LatentFromBatch": "length"},
    "sum": {
        "ImageBatch": "image",
        "LatentBatch": "samples",
        "BatchImagesNode": "images.",
        "BatchLatentsNode": "latents.",
        "BatchMasksNode": "masks.",
    },
    "same": {
        "VAEDecode": "samples",
        "VAEDecodeTiled": "samples",
        "VAEEncode": "pixels",
        "KSampler": "latent_image",
        "KSamplerAdvanced": "latent_image",
        "LatentUpscale": "samples",
        "LatentUpscaleBy": "samples",
        "ImageScale": "image",
        "ImageScaleBy": "image",
        "ImageScaleToTotalPixels": "image",
        "ImageScaleToMaxDimension": "image",
        "ImageUpscaleWithModel": "image",
        "ImageCrop": "image",
        "ImageInvert": "image",
        "ImageBlur": "image",
        "ImageSharpen": "image",
        "ImagePadForOutpaint": "image",
        "ResizeAndPadImage": "image",
        "ImageToMask": "image",
        "ImageColorToMask": "image",
        "MaskToImage": "mask",
        "InvertMask": "mask",
        "GrowMask": "mask",
        "FeatherMask": "mask",
        "ThresholdMask": "mask",
    },
}
"""How many images the nodes of ComfyUI bring, by their type, as the page counts them, too.

Nodes that repeat or cut a batch have it at the first of their inputs that is linked; those that
make one of several have them at all inputs whose names begin so.
"""
_UNKNOWN: Any = object()
logger = logging.getLogger("siliconflow")
_done: OrderedDict[str, None] = OrderedDict()
_lock = threading.Lock()
Graph = Mapping[str, Any]


def expected(
    caller: Caller,
    settings: Settings,
    client: Client,
    ledger: Ledger,
    made: Mapping[str, int],
) -> tuple[str, dict[str, Share]]:
    """Return what a prompt's other paid nodes are going to make and cost, by their id.

    Before that, a hash of what all its paid nodes are made of, whatever their seeds. `made` is how
    many items the nodes that have begun make.
    """
    graph, shares = caller.graph, {}
    nodes = _needed(graph, caller.outputs or graph)
    paid = [node_id for node_id in nodes if _task(graph, node_id) in PLANNERS]
    for node_id in paid:
        if node_id == caller.node_id:
            continue
        try:
            share = _share(graph, node_id, (settings, client, ledger), made)
        except SiliconFlowError:  # the node says so itself when it begins, and sends nothing
            continue
        except Exception:  # values that ComfyUI refuses, or passes on as they are: not this node's
            logger.warning("node %s cannot be planned before it runs", node_id, exc_info=True)
            continue
        if share:
            shares[node_id] = share
    unseeded = _needed(graph, paid, with_seeds=False)
    return _hash(graph, unseeded, with_seeds=False), shares


def mark_done(caller: Caller) -> None:
    """Remember that a node has run to its end: ComfyUI or the ledger has what it makes.

    With a seed of -1 anywhere before it, it makes something else each time.
    """
    graph = caller.graph
    if caller.node_id in graph:
        needed = _needed(graph, [caller.node_id])
        seeds = (v for each in needed for name, v in _inputs(graph, each).items() if _is_seed(name))
        if ANY_SEED in seeds:
            return
        signature = _hash(graph, needed)
        with _lock:
            _done[signature] = None
            while len(_done) > REMEMBERED:
                _done.popitem(last=False)


def forget_done() -> None:
    """Forget what has run: the ledger has its results no more."""
    with _lock:
        _done.clear()


def _is_done(graph: Graph, node_id: str) -> bool:
    signature = _hash(graph, _needed(graph, [node_id]))
    with _lock:
        return signature in _done


def _share(
    graph: Graph,
    node_id: str,
    services: tuple[Settings, Client, Ledger],
    made: Mapping[str, int],
) -> Share | None:
    """Return what a node is going to make; `None` where that is not known."""
    task, (settings, client, ledger) = _task(graph, node_id), services
    linked = _inputs(graph, node_id)
    inputs = {name: _value(graph, value) for name, value in linked.items()}
    unknown = [name for name, value in inputs.items() if value is _UNKNOWN]
    is_done = unknown and settings.reuse and _is_done(graph, node_id)
    if is_done or _MODEL_INPUTS.intersection(unknown):
        return None
    of_images = {*_IMAGE_INPUTS, "references"}.intersection(unknown)
    is_sent_once = settings.reuse and len(of_images) == 1 and "mask" not in linked
    for name in unknown:
        if name in of_images:
            told = _frames(graph, linked[name], alike_once=is_sent_once, made=made)
            frames = min(told or 1, MOST_FRAMES)
            inputs[name] = torch.zeros(1, _SIDE, _SIDE, 3).expand(frames, -1, -1, -1)
        elif name == "mask" and (_frames(graph, linked[name]) or 1) > 1:  # an edit a frame
            frames = min(_frames(graph, linked[name]) or 1, MOST_FRAMES)
            inputs[name] = torch.ones(1, _SIDE, _SIDE).expand(frames, -1, -1)
        elif name in _TEXT_INPUTS:
            inputs[name] = _STAND_IN
        else:
            del inputs[name]
    if inputs.get("seed") == ANY_SEED:
        inputs["seed"] = draw_seed(node_id)
    plan = PLANNERS[task](inputs, settings)
    lifecycle = RequestLifecycle(task, settings, client, ledger, plan)
    jobs = [Job(request, threading.Event()) for request in plan.requests]
    if not unknown:
        jobs = [*lifecycle.distinct(jobs)]
    unpaid = [[job.request] if unknown else lifecycle.unpaid(job) for job in jobs]
    bill = Bill(lifecycle.pricing, Decimal(str(settings.unknown_price)), unpaid)
    return Share.of(bill, jobs, plan.endpoint)


def _frames(
    graph: Graph,
    link: Any,
    passed: frozenset[str] = frozenset(),
    *,
    alike_once: bool = False,
    made: Mapping[str, int] = MappingProxyType({}),
) -> int | None:
    """Return how many images a link brings, as far as the graph says, or what nodes have `made`.

    With `alike_once` those that a node repeats count once, as the requests for them do.
    """
    if not _is_link(link) or link[0] in passed or link[0] not in graph:
        return None
    node_type, inputs = str(graph[link[0]].get("class_type")), _inputs(graph, link[0])
    passed |= {link[0]}
    if "image" in _task(graph, link[0]):
        links = [inputs[name] for name in _IMAGE_INPUTS if name in inputs]
        means, one = (
            inputs.get("batch_means", ""),
            catalogue.load().inputs["batch_means"].choices[1],
        )
        alike_once &= len(links) == 1 and "mask" not in inputs
        each_of = partial(_frames, graph, passed=passed, alike_once=alike_once, made=made)
        masks = each_of(inputs.get("mask")) or 1
        frames = 1 if means == one else _largest([*map(each_of, links), masks])
        count = _product(frames, _value(graph, inputs.get("batch_size", 1)))
        return count if count and alike_once else made.get(link[0], count)
    kind = next((each for each, types in BATCHES.items() if node_type in types), "")
    rule = BATCHES[kind][node_type] if kind else ""
    if kind == "same":
        alike_once &= not node_type.startswith("KSampler")  # with a noise for each
        return _frames(graph, inputs.get(str(rule)), passed, alike_once=alike_once, made=made)
    number = _value(graph, inputs.get(rule, _UNKNOWN)) if isinstance(rule, str) else rule
    if kind == "sum" or (kind == "repeated" and alike_once):
        number = 1
    if kind in {"fixed", "counted"}:
        return _product(1, number)
    prefix = str(rule) if kind == "sum" else ""
    sources = [v for name, v in inputs.items() if _is_link(v) and name.startswith(prefix)]
    each_of = partial(_frames, graph, passed=passed, alike_once=alike_once, made=made)
    frames = _total([*map(each_of, sources if kind == "sum" else sources[:1])])
    if kind == "cut" and frames is not None and isinstance(number, int):
        return min(frames, number)
    return _product(frames, number)


def _largest(sizes: Collection[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return max([1, *known]) if len(known) == len(sizes) else None


def _total(sizes: Collection[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None


def _product(frames: int | None, times: Any) -> int | None:
    return frames * times if frames is not None and isinstance(times, int) else None


def _task(graph: Graph, node_id: str) -> str:
    return host.node_task(str(graph[node_id].get("class_type", "")))


def _inputs(graph: Graph, node_id: str) -> Mapping[str, Any]:
    inputs: Mapping[str, Any] = graph[node_id].get("inputs", {})
    return inputs


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _value(graph: Graph, value: Any) -> Any:
    """Return the value of an input, or `_UNKNOWN` if another node makes it.

    A node with nothing but a value holds it itself: ComfyUI's own Primitives, and other packs'.
    """
    if not _is_link(value):
        return value
    inputs = _inputs(graph, value[0]) if value[0] in graph else {}
    held = inputs.get("value", _UNKNOWN)
    return _UNKNOWN if len(inputs) != 1 or _is_link(held) else held


def _needed(graph: Graph, node_ids: Iterable[str], *, with_seeds: bool = True) -> list[str]:
    """Return nodes and all that they depend on, in order; without what gives them their seeds."""
    needed: set[str] = set()
    left = [node_id for node_id in node_ids if node_id in graph]
    while left:
        node_id = left.pop()
        if node_id not in needed:
            needed.add(node_id)
            inputs = _inputs(graph, node_id).items()
            links = [value for name, value in inputs if with_seeds or not _is_seed(name)]
            left += [link[0] for link in links if _is_link(link) and link[0] in graph]
    return sorted(needed)


def _is_seed(name: str) -> bool:
    return "seed" in name


def _hash(graph: Graph, node_ids: Collection[str], *, with_seeds: bool = True) -> str:
    """Return a hash of nodes and their inputs, and of the files of ComfyUI that they name."""
    nodes = []
    for node_id in node_ids:
        inputs = {
            name: (value, host.input_file_version(value))
            for name, value in _inputs(graph, node_id).items()
            if with_seeds or not _is_seed(name)
        }
        nodes.append((node_id, graph[node_id].get("class_type"), inputs))
    return hashlib.sha256(json.dumps(nodes, sort_keys=True, default=str).encode()).hexdigest()
