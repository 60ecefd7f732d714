"""What a node shows of its run: while it waits, and when it is done."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence

from PIL import Image

from ..comfyui.host import PREVIEW_SIDE, Progress
from ..media.image_files import Picture
from ..media.previews import small
from ..strings.text import Text, join, text
from .job import STAGES, Job

MAX_PREVIEWS = 16
"""Images that may wait to be shown: of a flood, the last ones are."""
MAX_SHOWN = 300
"""Characters of a growing text that a node shows."""


class RunProgress:
    """Bar and text of one run. `show` is cheap enough to be called several times a second."""

    def __init__(self, display: Progress) -> None:
        """Start the clock."""
        self._display = display
        self._model_name = ""
        self._jobs: Sequence[Job] = ()
        self._asked = 0
        self._started_at = time.monotonic()
        self._shown: tuple[int, int, int] | None = None
        self._previews: deque[Image.Image] = deque(maxlen=MAX_PREVIEWS)

    def begin(self, model_name: str, jobs: Sequence[Job]) -> None:
        """Show from now on how far these jobs are."""
        self._model_name = model_name
        self._jobs = jobs
        self._asked = sum(job.request.count for job in jobs)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started_at

    def show(self) -> None:
        """Show the state, if the second, a stage or a text has changed since the last time."""
        done = sum(
            min(
                STAGES * job.request.count,
                max(job.stage * job.request.count, STAGES * len(job.items)),
            )
            for job in self._jobs
        )
        state = (int(self.seconds), done, sum(len(job.growing.text) for job in self._jobs))
        if state != self._shown:
            self._shown = state
            self._display.text(self._state(state[0]))
            self._display.value(done, STAGES * self._asked)
        self._show_previews()

    def add_preview(self, image: Picture) -> None:
        """Scale down an image that has just come; it is shown with the next state.

        Called in threads: on the event loop it would hold up every other node.
        """
        self._previews.append(small(image, PREVIEW_SIDE))

    def fail(self, message: Text) -> None:
        """Show why nothing came: some versions of the page show an error's name alone."""
        self._display.text(message)

    def finish(self, line: Text) -> None:
        """Show a last line, whether it was paid, and what else the user should know."""
        self._show_previews()
        self._display.value(1, 1)
        notes = [note for job in self._jobs for note in job.notes]
        self._display.text(join("\n", dict.fromkeys((join("", (line, self._reused())), *notes))))

    def _show_previews(self) -> None:
        while self._previews:
            self._display.picture(self._previews.popleft())

    def _reused(self) -> Text:
        """Return the words for what was not paid again."""
        results = [result for job in self._jobs for result in job.results]
        reused = sum(result.count for result in results if result.origin != "paid")
        paid = sum(result.count for result in results) - reused
        if not reused:
            return Text("")
        return text("run.reused_in_part", reused=reused, paid=paid) if paid else text("run.reused")

    def _state(self, seconds: int) -> Text:
        head = f"SiliconFlow · {self._model_name}"
        if self._asked > 1:
            head += f" · {sum(len(job.items) for job in self._jobs)}/{self._asked}"
        growing = [f":\n{end_of(job.growing.text)}" for job in self._jobs if job.growing.text]
        spent = text("run.seconds", seconds=seconds)
        return join("", (f"{head} · ", spent, self._waits_for(), *growing))

    def _waits_for(self) -> Text:
        """Return what the next request waits for, if nothing at all is under way."""
        waiting = [job for job in self._jobs if job.waits_for and job.stage < STAGES]
        if not waiting or any(job.is_sent for job in self._jobs):
            return Text("")
        first = min(waiting, key=lambda job: job.waits_until)
        left = max(0, math.ceil(first.waits_until - time.monotonic()))
        return text("run.waits", reason=first.waits_for or "", seconds=left)


def start_of(words: str) -> str:
    """Return the beginning of a text that is too long to be shown on a node."""
    return words if len(words) <= MAX_SHOWN else f"{words[:MAX_SHOWN]}…"


def end_of(words: str) -> str:
    """Return the end of a text that is too long to be shown on a node."""
    return words if len(words) <= MAX_SHOWN else f"…{words[-MAX_SHOWN:]}"
