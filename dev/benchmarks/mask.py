"""A painted part of a large image: cut out, and its result laid back; beside Pillow by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from comfyui_siliconflow.media.fitting import copy_into, empty_images
from comfyui_siliconflow.media.image_files import Pixels, tensor_to_pil
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.tasks.image_fitting import Cuts, Layers, fit_images
from PIL import Image, ImageFilter

from . import memory
from .measure import Row, in_turns
from .sample_images import photograph

MOST_MS, FRAMES = 60, 2
SIDE, FIRST, LAST, MARGIN, FEATHER, SENT = 4096, 1700, 2212, 64, 16, (1024, 1024)
MODEL = "Qwen/Qwen-Image-Edit-2509"


def rows() -> list[Row]:
    """Measure the time of both ways, and the memory of a whole run in a process of its own."""
    image, mask = photograph(1024).repeat(4, 4, 1)[None], torch.zeros(1, SIDE, SIDE)
    mask[0, FIRST:LAST, FIRST:LAST] = 1
    result = np.zeros((*SENT, 3), np.uint8)
    times = in_turns(
        {
            "ours": partial(_ours, image, mask, result),
            "by hand": partial(_by_hand, image, mask, result),
            "copy": partial(_copy, image),
        }
    )
    used, ours = memory.peak_of("mask") / memory.FRAME_BYTES, times["ours"].best * 1e3
    return [
        Row(
            "cut 512x512 out of 4096x4096 by a mask, and lay the result back",
            f"{ours:.0f} ms, {times['by hand'].best / times['ours'].best:.1f}x faster than Pillow",
            f"at most {MOST_MS} ms",
            ours <= MOST_MS,
            f"ours {times['ours']}; Pillow by hand {times['by hand']}; to copy the image alone"
            f" {times['copy']}",
        ),
        Row(
            "memory for an edit of 4096x4096 with a mask",
            f"{used:.2f} frames, the result among them",
            f"at most {FRAMES} frames",
            used <= FRAMES,
        ),
    ]


def _ours(image: torch.Tensor, mask: torch.Tensor, result: Pixels) -> torch.Tensor:
    model, inputs = catalogue.load().find(MODEL, "cn"), {"mask": mask}
    fitting = fit_images(model, inputs, [image], lambda _width, _height: {}, {})
    if fitting is None:
        raise RuntimeError("the mask is empty")
    Cuts(image, fitting.placements)[0]
    return fitting.lay_back([Layers(0, 0, [(fitting.placements[0], result)])])[0]


def _copy(image: torch.Tensor) -> None:
    copy_into(empty_images((1, SIDE, SIDE, 3), image.dtype)[0], image[0])


def _by_hand(image: torch.Tensor, mask: torch.Tensor, result: Pixels) -> torch.Tensor:
    """Do the same as people write it: the image to Pillow, and back."""
    whole = tensor_to_pil(image[0])
    painted = Image.fromarray((mask[0].numpy() * 255).astype(np.uint8))
    left, top, right, bottom = painted.getbbox() or (0, 0, SIDE, SIDE)
    box = (left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN)
    whole.crop(box).resize(SENT, Image.Resampling.LANCZOS)
    size = box[2] - box[0], box[3] - box[1]
    back = Image.fromarray(result).resize(size, Image.Resampling.LANCZOS)
    edge = painted.crop(box).filter(ImageFilter.GaussianBlur(FEATHER / 2))
    whole.paste(back, box[:2], edge)
    return torch.from_numpy(np.asarray(whole).astype(np.float32) / 255)[None]
