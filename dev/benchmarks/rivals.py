"""What other packs do, written from its description alone: Pillow's PNG, float copies, in turn."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image


def data_url(frame: torch.Tensor) -> str:
    """Truncate to 8 bits, write a PNG at Pillow's default effort, encode it."""
    pixels = (255.0 * frame.numpy()).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def batch(files: Sequence[bytes]) -> torch.Tensor:
    """Decode one after the other into float frames, then stack them."""
    frames = []
    for file in files:
        image = Image.open(io.BytesIO(file)).convert("RGB")
        frames.append(torch.from_numpy(np.array(image).astype(np.float32) / 255.0).unsqueeze(0))
    return torch.cat(frames)
