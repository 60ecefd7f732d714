"""Ways to decode four files, for the time and the memory that they take."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import torch
from comfyui_siliconflow.engine.exchange import PARALLEL_DOWNLOADS
from comfyui_siliconflow.engine.threads import CPU
from comfyui_siliconflow.media.image_files import DecodedImage, decode, tensor_to_pil, to_batch
from PIL import Image

from . import sample_images


def four() -> list[bytes]:
    """Return four files as the service sends them."""
    files = []
    for turn in range(4):
        file = io.BytesIO()
        tensor_to_pil(sample_images.photograph().rot90(turn)).save(file, "PNG")
        files.append(file.getvalue())
    return files


def ours(files: list[bytes]) -> torch.Tensor:
    """Decode as the node does: side by side, then into one batch."""
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        return to_batch(list(pool.map(_decoded, files)))[0]


def _decoded(file: bytes) -> DecodedImage:
    with CPU:
        return decode(file)


def bare(files: list[bytes]) -> None:
    """Decode and keep nothing: what Pillow takes on one core."""
    for file in files:
        Image.open(io.BytesIO(file)).load()
