"""What a node shows while it waits, and when it is done."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence

from PIL import Image

from ..comfyui.host import PREVIEW_SIDE, Progress
from ..media.image_files import DecodedImage
from ..media.previews import to_preview
from ..strings.text import Text
from .job import STAGES, Job

MOST_PREVIEWS = 16
"""Pictures that may wait to be shown: of a flood, the last ones are."""
LONGEST_SHOWN = 300
"""Characters of a growing text that a node shows."""


class Report:
    """Bar and text of one run. `show` is cheap enough to be called several times a second."""

    def __init__(self, progress: Progress) -> None:
        """Start the clock."""
        self._progress = progress
        self._name = ""
        self._jobs: Sequence[Job] = ()
        self._asked = 0
        self._started = time.monotonic()
        self._shown: tuple[int, int, int] | None = None
        self._arrived: deque[Image.Image] = deque(maxlen=MOST_PREVIEWS)

    def begin(self, name: str, jobs: Sequence[Job]) -> None:
        """Tell what is asked for: from the model of this name."""
        self._name = name
        self._jobs = jobs
        self._asked = sum(job.ask.count for job in jobs)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    def show(self) -> None:
        """Show the state, if the second, the stage or the text has changed since the last time."""
        done = sum(_progress(job) for job in self._jobs)
        state = (int(self.seconds), done, sum(len(job.heard) for job in self._jobs))
        if state != self._shown:
            self._shown = state
            self._progress.text(self._waiting(state[0]))
            self._progress.value(done, STAGES * self._asked)

        self._show_arrived()

    def arrived(self, picture: DecodedImage) -> None:
        """Make a picture small that has just come; it is shown with the next state.

        Called in threads: on the event loop it would hold up every other node.
        """
        self._arrived.append(to_preview(picture, PREVIEW_SIDE))

    def _show_arrived(self) -> None:
        while self._arrived:
            self._progress.picture(self._arrived.popleft())

    def ended(self, text: Text) -> None:
        """Show why nothing came: some versions of the page show an error's name alone."""
        self._progress.text(text)

    def done(self, count: int, width: int, height: int, seed: int) -> None:
        """Show what came."""
        spent = f"{self.seconds:.1f}"
        plural = "picture" if count == 1 else "pictures"
        self._show_arrived()
        self.said(
            Text(
                f"{count} {plural}, {width}x{height}, seed {seed}, {spent} s",
                f"{count} 张图片，{width}x{height}，种子 {seed}，{spent} 秒",
            )
        )

    def said(self, line: Text) -> None:
        """Show a last line, whether it was paid, and what else the user should know."""
        self._progress.value(1, 1)
        free = self._free()
        notes = [note for job in self._jobs for note in job.notes]
        lines = dict.fromkeys((Text(f"{line.en}{free.en}", f"{line.zh}{free.zh}"), *notes))
        self._progress.text(Text(*map("\n".join, zip(*lines, strict=True))))

    def _free(self) -> Text:
        """Say what was not paid for again."""
        results = [result for job in self._jobs for result in job.results]
        free = sum(len(result.pictures) for result in results if result.origin != "paid")
        total = sum(len(result.pictures) for result in results)
        if not free:
            return Text("", "")
        if free == total:
            return Text(" · reused, nothing paid", " · 复用已有结果，未扣费")
        return Text(
            f" · {free} reused, {total - free} paid", f" · 复用 {free}，付费 {total - free}"
        )

    def _waiting(self, seconds: int) -> Text:
        came = sum(len(job.pictures) for job in self._jobs)
        count = f" · {came}/{self._asked}" if self._asked > 1 else ""
        head = f"SiliconFlow · {self._name}{count} · {seconds}"
        why = self._why_waiting()
        heard = "".join(f":\n{end_of(job.heard)}" for job in self._jobs if job.heard)
        return Text(f"{head} s{why.en}{heard}", f"{head} 秒{why.zh}{heard}")

    def _why_waiting(self) -> Text:
        """Say what the next request waits for, if nothing at all is under way."""
        waiting = [job for job in self._jobs if job.waits_for and job.stage < STAGES]
        if not waiting or any(job.is_sent for job in self._jobs):
            return Text("", "")
        first = min(waiting, key=lambda job: job.waits_until)
        left = max(0, math.ceil(first.waits_until - time.monotonic()))
        why = first.waits_for or Text("", "")
        return Text(f" · {why.en}, {left} s left", f" · {why.zh}，还需 {left} 秒")


def start_of(text: str, most: int = LONGEST_SHOWN) -> str:
    """Give the beginning of a text that is too long to be shown on a node."""
    return text if len(text) <= most else f"{text[:most]}…"


def end_of(text: str, most: int = LONGEST_SHOWN) -> str:
    """Give the end of a text that is too long to be shown on a node."""
    return text if len(text) <= most else f"…{text[-most:]}"


def _progress(job: Job) -> int:
    """Count the stages behind a request, each as often as pictures were asked for."""
    return min(STAGES * job.ask.count, max(job.stage * job.ask.count, STAGES * len(job.pictures)))
