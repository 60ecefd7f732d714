"""The memory in use at most, each measured in a process of its own (Linux)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS

from .decoding import four, ours
from .measure import Row
from .sample_images import photograph
from .service import serving

FRAME_BYTES = 4096 * 4096 * 3 * 4
FRAMES = 1.5


def rows() -> list[Row]:
    """Measure a batch of four large frames through image to image."""
    used = peak_of("large") / FRAME_BYTES
    return [
        Row(
            "memory for a 4096x4096 batch of 4 through image to image",
            f"{used:.2f} frames over the tensors",
            f"at most {FRAMES} frames",
            used <= FRAMES,
        )
    ]


def peak_of(what: str) -> int:
    """Return the bytes that a piece of work needs at most, beyond what was there before it.

    Freed memory goes back at once there, so that only what is in use counts.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.memory", what],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    return int(done.stdout.split()[-1])


def _decode() -> Callable[[], object]:
    files = four()
    ours(files[:1])
    return lambda: ours(files)


def _large() -> Callable[[], object]:
    """Send to a simulator in another process: its memory is not ours."""
    batch = photograph(1024).repeat(4, 4, 1)[None].repeat(4, 1, 1, 1)
    batch += torch.arange(4).reshape(4, 1, 1, 1) * 0.001
    node = NODE_CLASS_MAPPINGS["SiliconFlowImageToImage"]()

    def run(images: torch.Tensor, seed: int) -> object:
        inputs = {"model": "Kwai-Kolors/Kolors", "prompt": "x", "seed": seed}
        return asyncio.run(node.execute(image=images, **inputs))

    run(photograph(64)[None], 1)
    return lambda: run(batch, 2)


def _mask() -> Callable[[], object]:
    image, mask = photograph(1024).repeat(4, 4, 1)[None], torch.zeros(1, 4096, 4096)
    mask[0, 1700:2212, 1700:2212] = 1
    node = NODE_CLASS_MAPPINGS["SiliconFlowImageEdit"]()

    def run(image: torch.Tensor, mask: torch.Tensor, seed: int) -> object:
        inputs = {"model": "Qwen/Qwen-Image-Edit-2509", "prompt": "x", "seed": seed}
        return asyncio.run(node.execute(image=image, mask=mask, **inputs))

    run(photograph(64)[None], torch.ones(1, 64, 64), 1)
    return lambda: run(image, mask, 2)


_WORK: dict[str, Callable[[], Callable[[], object]]] = {
    "decode": _decode,
    "large": _large,
    "mask": _mask,
}


def _measure(what: str) -> int:
    """Do the work once, and give the bytes that the process grew by at most."""
    work = _WORK[what]()
    # 5: the highest resident size is counted again from here (Linux, proc_pid_clear_refs).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    result = work()
    peak = _status("VmHWM")
    del result
    return peak - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    with serving():
        print(_measure(sys.argv[1]))
