"""What a node shows while it waits, and when it is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from ..siliconflow.texts import Text
from .host import Progress

STAGES = 3
"""Encoded, answered, decoded: how far one request can come."""


class Staged(Protocol):
    """One request whose progress is counted."""

    stage: int


class Report:
    """Bar and text of one run. `show` is cheap enough to be called several times a second."""

    def __init__(self, progress: Progress, name: str, jobs: Sequence[Staged]) -> None:
        """Start the clock."""
        self._progress = progress
        self._name = name
        self._jobs = jobs
        self._started = time.monotonic()
        self._shown: tuple[int, int] | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    def show(self) -> None:
        """Show the state, if the second or the stage has changed since the last time."""
        done = sum(job.stage for job in self._jobs)
        state = (int(self.seconds), done)
        if state != self._shown:
            self._shown = state
            self._progress.text(self._waiting(state[0]))
            self._progress.value(done, STAGES * len(self._jobs))

    def done(self, count: int, width: int, height: int, seed: int) -> None:
        """Show what came."""
        spent = f"{self.seconds:.1f}"
        plural = "picture" if count == 1 else "pictures"
        self._progress.value(1, 1)
        self._progress.text(
            Text(
                f"{count} {plural}, {width}x{height}, seed {seed}, {spent} s",
                f"{count} 张图片，{width}x{height}，种子 {seed}，{spent} 秒",
            )
        )

    def _waiting(self, seconds: int) -> Text:
        finished = sum(job.stage == STAGES for job in self._jobs)
        count = f" · {finished}/{len(self._jobs)}" if len(self._jobs) > 1 else ""
        head = f"SiliconFlow · {self._name}{count} · {seconds}"
        return Text(f"{head} s", f"{head} 秒")
