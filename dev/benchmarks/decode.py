"""Four PNG files into one batch: time, and the memory that is in use at most."""

from __future__ import annotations

from functools import partial

from . import memory, rivals
from .decoding import bare, four, ours
from .measure import Row, in_turns

TIMES = 1.5
IMAGE_BYTES = 1024 * 1024 * 3 * 4


def rows() -> list[Row]:
    """Measure the time, and the memory in a process of its own."""
    files = four()
    times = in_turns(
        {
            "ours": partial(ours, files),
            "rivals": partial(rivals.batch, files),
            "bare": partial(bare, files),
        }
    )
    against = {name: times[name].best / times["ours"].best for name in ("rivals", "bare")}
    used = memory.peak_of("decode") / IMAGE_BYTES
    return [
        Row(
            "decode 4 PNGs of 1024x1024 into one batch",
            f"{against['rivals']:.2f}x faster than the rivals,"
            f" {against['bare']:.2f}x than bare Pillow",
            f"{TIMES}x faster than each on two cores",
            min(against.values()) >= TIMES,
            f"ours {times['ours']}; rivals {times['rivals']}; Pillow alone, no batch"
            f" {times['bare']}",
        ),
        Row(
            "memory while they are decoded",
            f"{used:.2f} images",
            "at most the batch (4) and one image",
            used <= 5,
        ),
    ]
