"""What people see of a run: on its node, and in the page's list of jobs.

A history that cannot be written takes nothing from a run: its jobs are then seen while they run,
and no more.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from PIL import Image

from ..comfyui import events, host
from ..comfyui.host import PREVIEW_SIDE, Caller, Progress
from ..media.image_files import DecodedImage
from ..media.previews import to_preview
from ..siliconflow.errors import ConfirmationNeeded, RequestError
from ..storage.database import LedgerError
from ..storage.job_history import JobHistory, JobRecord, JobState
from ..strings.text import SiliconFlowError, Text, join, text
from .job import STAGES, Job, Plan
from .spending import amount_text
from .threads import start_thread

MAX_PREVIEWS = 16
"""Images that may wait to be shown: of a flood, the last ones are."""
MAX_SHOWN = 300
"""Characters of a growing text that a node shows."""
_LIVE_STATES = ("waiting", "running")
_NOTICED_SECONDS = 1.0
"""A wait that moves by less is no news: it is estimated again and again."""
_UNDER_WAY: dict[str, tuple[JobRecord, Job]] = {}
_LOCK = threading.Lock()


class RunProgress:
    """Bar and text of one run. `show` is cheap enough to be called several times a second."""

    def __init__(self, display: Progress) -> None:
        """Start the clock."""
        self._display = display
        self._jobs: Sequence[Job] = ()
        self._requested = 0
        self._currency = ""
        self._started_at = time.monotonic()
        self._shown: tuple[int, int, int] | None = None
        self._previews: deque[tuple[Image.Image, int]] = deque(maxlen=MAX_PREVIEWS)

    def begin(self, jobs: Sequence[Job], currency: str) -> None:
        """Show from now on how far these jobs are, and what they have cost."""
        self._jobs, self._currency = jobs, currency
        self._requested = sum(job.request.count for job in jobs)

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
            self._display.value(done, STAGES * self._requested)
        self._show_previews()

    def add_preview(self, place: int, image: DecodedImage | None) -> None:
        """Scale down an image that has just come; it is shown with the next state, at its place.

        Called in threads: on the event loop it would hold up every other node.
        """
        if image is not None:
            self._previews.append((to_preview(image, PREVIEW_SIDE), place))

    def end(self, message: Text) -> None:
        """Show why nothing came: some versions of the page show an error's name alone."""
        self._display.text(message)

    def cancel(self) -> None:
        """Show that the run was cancelled, and what becomes of what was sent."""
        was_sent = any(job.was_sent for job in self._jobs)
        self.end(text("run.cancelled" if was_sent else "page.state.cancelled"))

    def finish(self, line: Text) -> None:
        """Show a last line, whether it was paid, and what else the user should know."""
        self._show_previews()
        self._display.value(1, 1)
        notes = [note for job in self._jobs for note in job.notes]
        said = join(" · ", (join("", (line, *self._reused())), *self._cost()))
        self._display.text(join("\n", dict.fromkeys((said, *notes))))

    def _show_previews(self) -> None:
        while self._previews:
            self._display.image(*self._previews.popleft())

    def _reused(self) -> list[Text]:
        """Return the words for what was not paid again."""
        results = [(job, result) for job in self._jobs for result in job.results]
        made = [result for job, result in results if job.was_made_before(result)]
        paid = sum(result.count for _, result in results if result.origin == "paid")
        paid += sum(result.count for result in made)
        reused = sum(result.count for _, result in results) - paid
        in_part = "run.reused_in_part" if paid else "run.reused"
        words = [text(in_part, reused=reused, paid=paid)] if reused else []
        if made:
            amounts = self._amount([result.price for result in made])
            words.append(text("run.made_in_background"))
            words += [text("run.made_for", amount=amount) for amount in amounts]
        return words

    def _cost(self) -> list[str]:
        """Return what the results that are there have cost, if it is known and anything."""
        return self._amount([result.cost for job in self._jobs for result in job.results])

    def _amount(self, costs: Sequence[Decimal | None]) -> list[str]:
        total = sum((cost for cost in costs if cost is not None), Decimal(0))
        return [amount_text(total, self._currency)] if total and None not in costs else []

    def _state(self, seconds: int) -> Text:
        done = sum(len(job.items) for job in self._jobs)
        several = (
            [text("run.done_of", done=done, of=self._requested)] if self._requested > 1 else []
        )
        line = join(" · ", (*several, text("run.seconds", seconds=seconds), *self._cost()))
        growing = [f":\n{end_of(job.growing.text)}" for job in self._jobs if job.growing.text]
        return join("", (line, *self._doing(), self._waits_for(), *growing))

    def _doing(self) -> list[Text]:
        """Return what the service does about submitted requests, and how long it usually takes."""
        submitted = [job.growing for job in self._jobs if job.growing.doing]
        states = Counter(each.doing or Text("") for each in submitted)
        several = len(submitted) > 1
        parts = [join("", (f"{n} × " * several, doing)) for doing, n in states.items()]
        if usual := next((each.usual_seconds for each in submitted if each.usual_seconds), None):
            parts.append(text("run.usual_seconds", seconds=round(usual)))
        return [join("", (" · ", part)) for part in parts]

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


@dataclass(frozen=True)
class JobView:
    """A job as the page sees it now."""

    record: JobRecord
    state: str
    seconds: float | None
    waits_until: float | None = None
    doing: Text | None = None
    was_sent: bool = False
    """Of one under way, whether it counts as spent by now."""

    def as_json(self) -> dict[str, Any]:
        """Return it in the page's words."""
        record = self.record
        return {
            "id": record.id,
            "at": record.began_at,
            "task": record.task,
            "node": record.node_id,
            "node_type": record.node_type,
            "workflow": record.workflow_id,
            "model": record.model,
            "prompt": record.prompt,
            "seconds": None if self.seconds is None else round(self.seconds, 2),
            "state": self.state,
            "waits_until": self.waits_until,
            "doing": self.doing.as_json() if self.doing else None,
            "was_sent": self.was_sent,
            "reason": record.reason.as_json() if record.reason else None,
            "trace_id": record.trace_id,
            "origins": list(record.origins),
            "pictures": [
                {
                    "place": place,
                    "thumbnail": f"/siliconflow/jobs/{record.id}/{place}/thumbnail",
                    "video": f"/siliconflow/jobs/{record.id}/{place}/video"
                    if record.task.endswith("-video")
                    else None,
                    "is_here": is_here,
                }
                for place, is_here in enumerate(record.files_here)
            ],
            "has_workflow": record.has_workflow,
        }


def view_of(record: JobRecord, find: Callable[[str], JobRecord | None]) -> JobView:
    """Return a job as it is now: what this process has under way is newer than what is written.

    One that has ended since it was read is read again, by `find`.
    """
    with _LOCK:
        live = _UNDER_WAY.get(record.id)
    if live:
        return _live_view(*live)
    if record.state == "running" and record.is_ours:
        record = find(record.id) or record
    if record.state == "running" and record.is_ours:  # its end could not be written
        return JobView(record, "cancelled", None)
    return JobView(record, record.state, record.seconds)


def jobs_under_way() -> list[JobView]:
    """Return the jobs that this process runs."""
    with _LOCK:
        live = list(_UNDER_WAY.values())
    return [_live_view(record, job) for record, job in live]


class JobRecorder:
    """Writes the jobs of one run into the history, and tells the page as they change."""

    def __init__(self, history: JobHistory, caller: Caller, task: str, plan: Plan) -> None:
        """Record nothing yet."""
        self._history, self._caller, self._task = history, caller, task
        self._model = plan.model.id
        self._has_previews = plan.endpoint.kind.has_previews
        self._sent: dict[str, JobView] = {}
        self._sending = threading.Lock()

    def begin(self, jobs: Sequence[Job]) -> None:
        """Record jobs that begin; blocks for the disk."""
        may_store = host.may_store_workflows()
        records = [
            JobRecord(
                id=job.id,
                began_at=job.queued_at,
                task=self._task,
                node_type=self._caller.node_type,
                node_id=self._caller.node_id,
                model=self._model,
                prompt=job.request.summary if may_store else "",
                workflow_id=self._caller.workflow_id if may_store else "",
            )
            for job in jobs
        ]
        _register(records, jobs)  # first: what is written as running and is not here is lost
        workflow = self._caller.workflow if may_store else None
        with contextlib.suppress(LedgerError):
            has_workflow = self._history.begin(records, workflow) is not None
            _register([replace(record, has_workflow=has_workflow) for record in records], jobs)

    def go_on(self, job: Job) -> JobRecord:
        """Record that a job of a process that is gone goes on here; blocks for the disk."""
        record = JobRecord(job.id, job.queued_at, self._task, model=self._model)
        with contextlib.suppress(LedgerError):
            record = self._history.take_over(job.id) or record
        _register([record], [job])
        self.publish([job])
        return record

    def publish(self, jobs: Sequence[Job]) -> None:
        """Send the page every job whose state has changed since it was last sent."""
        for job in jobs:
            with _LOCK:
                live = _UNDER_WAY.get(job.id)
            if live:
                self._send(_live_view(*live))

    def end(self, job: Job, reason: Text | None = None) -> None:
        """Record what came of a job; blocks for the disk. Once a job: again it does nothing.

        `reason` is why one that was never started was not.
        """
        with _LOCK:
            live = _UNDER_WAY.get(job.id)
        if live is None:
            return
        record = _ended(live[0], job, reason)
        results = job.results if self._has_previews else []
        try:
            with contextlib.suppress(LedgerError):
                record = self._history.end(
                    record, [result.request_id for result in results if result.request_id]
                )
        finally:
            with _LOCK:
                _UNDER_WAY.pop(job.id, None)
        self._send(JobView(record, record.state, record.seconds))

    def end_all(self, jobs: Sequence[Job], reason: Text | None = None) -> None:
        """Record what came of several jobs."""
        for job in jobs:
            self.end(job, reason)

    def close(self, jobs: Sequence[Job]) -> None:
        """Record the jobs that were never started, in a thread: their run is at its end."""
        left = [job for job in jobs if not job.is_started]
        if left:
            failed = any(job.error for job in jobs)
            start_thread(self.end_all, left, text("run.not_sent") if failed else None)

    def stopped(self, jobs: Sequence[Job], error: SiliconFlowError) -> None:
        """Record jobs of which none may start; a question is one job, however much it is about."""
        for job in jobs:
            job.error = error
        first, *others = jobs
        self.end(first)
        if isinstance(error, ConfirmationNeeded):
            self._forget(others)
        else:
            self.end_all(others)

    def _forget(self, jobs: Sequence[Job]) -> None:
        """Delete jobs of which no page has heard; blocks for the disk."""
        ids = [job.id for job in jobs]
        with contextlib.suppress(LedgerError):
            self._history.forget(ids)
        with _LOCK:
            for job_id in ids:
                _UNDER_WAY.pop(job_id, None)

    def _send(self, view: JobView) -> None:
        with self._sending:
            last = self._sent.get(view.record.id)
            if host.prompt_server() and (last is None or _has_changed(view, last)):
                self._sent[view.record.id] = view
                events.send(self._caller, events.JOBS, {"job": view.as_json()})


def _register(records: Sequence[JobRecord], jobs: Sequence[Job]) -> None:
    with _LOCK:
        _UNDER_WAY.update(
            {job.id: (record, job) for record, job in zip(records, jobs, strict=True)}
        )


def _live_view(record: JobRecord, job: Job) -> JobView:
    """Return how far a job is; one that is not started waits for those before it."""
    if not job.is_started:
        return JobView(record, "waiting", 0.0)
    if job.waits_for and not job.is_sent:
        until = time.time() + job.waits_until - time.monotonic()
        return JobView(record, "waiting", job.seconds, until, was_sent=job.was_sent)
    doing, was_sent = job.growing.doing, job.was_sent
    return JobView(record, "running", job.seconds, doing=doing, was_sent=was_sent)


def _has_changed(view: JobView, last: JobView) -> bool:
    """Return whether the page has to be sent a job; what is over was sent for the last time."""
    if last.state not in _LIVE_STATES:
        return False
    moved = abs((view.waits_until or 0) - (last.waits_until or 0))
    is_news = (view.state, view.doing, view.was_sent) != (last.state, last.doing, last.was_sent)
    return is_news or moved > _NOTICED_SECONDS


def _ended(record: JobRecord, job: Job, reason: Text | None) -> JobRecord:
    error = job.error
    traces = [result.metadata.trace_id for result in job.results]
    if isinstance(error, RequestError):
        traces.append(error.failure.trace_id)
    return replace(
        record,
        state=_state(job),
        seconds=job.seconds,
        reason=error.text if error else reason,
        trace_id=next(filter(None, reversed(traces)), ""),
        origins=tuple(dict.fromkeys(result.origin for result in job.results)),
    )


def _state(job: Job) -> JobState:
    if job.error:
        return "asked" if isinstance(job.error, ConfirmationNeeded) else "failed"
    if job.stage < STAGES:
        return "cancelled"
    paid = (result.origin == "paid" or job.was_made_before(result) for result in job.results)
    return "done" if any(paid) else "reused"
