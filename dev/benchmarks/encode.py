"""Frames to data URLs: time and bytes, against Pillow's PNG."""

from __future__ import annotations

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from comfyui_siliconflow.engine.uploads import Uploads
from comfyui_siliconflow.media import data_urls as ours
from comfyui_siliconflow.media.image_files import tensor_to_pixels
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.tasks.image_tasks import plan_images

from . import rivals, sample_images
from .measure import Row, in_turns

LOSSLESS_TIMES, LOSSLESS_BYTES = 6, 1.1
PNG_TIMES, PNG_BYTES = 5, 1.25
THREE_TIMES = 1.6


def rows() -> list[Row]:
    """Measure each format on each kind of image, and three images against one."""
    photograph, jpeg, drawing = (
        sample_images.photograph(),
        sample_images.from_jpeg(),
        sample_images.drawing(),
    )
    lossless, png = (LOSSLESS_TIMES, LOSSLESS_BYTES), (PNG_TIMES, PNG_BYTES)
    return [
        _row("photograph, lossless", photograph, "webp", *lossless),
        _row("photograph that was a JPEG, lossless", jpeg, "webp", *lossless),
        _row("photograph where PNG is wanted", photograph, "png", *png),
        _row("photograph that was a JPEG where PNG is wanted", jpeg, "png", *png),
        _row("flat drawing where PNG is wanted", drawing, "png", *png),
        _three(photograph),
    ]


def _row(
    what: str, frame: torch.Tensor, preferred: ours.Preferred, faster: float, larger: float
) -> Row:
    times = in_turns(
        {
            "ours": partial(ours.encode, frame, preferred),
            "rivals": partial(rivals.data_url, frame),
            "convert": partial(tensor_to_pixels, frame),
            "zlib": partial(zlib.compress, tensor_to_pixels(frame).tobytes(), 1),
        }
    )
    ratio = times["rivals"].best / times["ours"].best
    sent = ours.encode(frame, preferred)
    size = len(sent.url) / len(rivals.data_url(frame))
    return Row(
        f"encode 1024x1024: {what}",
        f"{sent.format}: {ratio:.1f}x faster, payload {size:.2f}x",
        f"{faster}x faster, payload at most {larger}x",
        ratio >= faster and size <= larger,
        f"ours {times['ours']}; Pillow's PNG and base64 {times['rivals']};"
        f" the limit: conversion to 8 bits alone {times['convert']}, zlib's lowest level alone"
        f" {times['zlib']}",
    )


def _three(frame: torch.Tensor) -> Row:
    """Time the three images of an edit against one, each a frame of its own."""
    one, three = ([frame + 0.001 * at for at in range(count)] for count in (1, 3))
    times = in_turns(
        {
            "one": partial(_edit, one),
            "one core": partial(_on_one_core, one),
            "three": partial(_edit, three),
            "zlib": partial(_zlib, frame, 1),
            "zlib three": partial(_zlib, frame, 3),
        }
    )
    alone, ratio = (times["three"].best / times[way].best for way in ("one", "one core"))
    zlib_alone = times["zlib three"].best / times["zlib"].best
    return Row(
        "encode the three images of an edit",
        f"{ratio:.2f}x the time of one on one core, {alone:.2f}x that of one on all",
        f"at most {THREE_TIMES}x on two cores",
        ratio <= THREE_TIMES,
        f"three {times['three']}; one {times['one']}, for its halves are encoded side by side;"
        f" one on one core {times['one core']}; the limit: zlib alone takes {zlib_alone:.2f}x as"
        " long for three such images, in a thread each, as for one",
    )


def _zlib(frame: torch.Tensor, threads: int) -> None:
    data = tensor_to_pixels(frame).tobytes()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(zlib.compress, [data] * threads))


def _on_one_core(frames: list[torch.Tensor]) -> None:
    """Encode with one core for the whole process (Linux)."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        _edit(frames)
    finally:
        os.sched_setaffinity(0, cores)


def _edit(frames: list[torch.Tensor]) -> dict[str, bytes]:
    """Encode the images of an edit as the node does."""
    inputs = {"model": "Qwen/Qwen-Image-Edit-2509", "prompt": "x"}
    names = ("image", "image2", "image3")
    images = {name: frame[None] for name, frame in zip(names, frames, strict=False)}
    plan = plan_images("image-edit", names, {**inputs, **images}, Settings())
    return Uploads(plan, Settings()).urls(0)
