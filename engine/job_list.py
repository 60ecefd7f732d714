"""The jobs of a run in the page's list: on disk, and live while they are under way.

A history that fails takes nothing from a run: its jobs are then seen while they run, and no more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..comfyui import events
from ..comfyui.caller import Caller
from ..siliconflow.errors import RequestError
from ..storage.database import LedgerError
from ..storage.job_history import JobHistory, JobRecord, State
from ..strings.text import SiliconFlowError, Text, text
from .job import STAGES, Job, Plan
from .threads import start_thread

_LIVE_STATES = ("waiting", "running")
_NOTICED_SECONDS = 1.0
"""A wait that moves by less is no news: it is estimated again and again."""
_UNDER_WAY: dict[str, tuple[JobRecord, Job]] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True)
class JobView:
    """A job as the page sees it now."""

    record: JobRecord
    state: str
    seconds: float
    waits_until: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it in the page's words."""
        record = self.record
        return {
            "id": record.id,
            "at": record.began_at,
            "task": record.task,
            "node": record.node_id,
            "node_type": record.node_type,
            "model": record.model,
            "prompt": record.prompt,
            "seconds": round(self.seconds, 2),
            "state": self.state,
            "waits_until": self.waits_until,
            "reason": record.reason.as_json() if record.reason else None,
            "trace_id": record.trace_id,
            "origins": list(record.origins),
            "pictures": [
                {
                    "place": place,
                    "thumbnail": f"/siliconflow/jobs/{record.id}/{place}/thumbnail",
                    "is_here": is_here,
                }
                for place, is_here in enumerate(record.pictures)
            ],
            "has_workflow": record.has_workflow,
        }


def view_of(record: JobRecord, find: Callable[[str], JobRecord | None]) -> JobView:
    """Return a job as it is now: what is under way in this process is known better than written.

    One that has ended since it was read is read again, by `find`.
    """
    with _LOCK:
        live = _UNDER_WAY.get(record.id)
    if live:
        return _live_view(*live)
    if record.state == "running" and record.is_ours:
        record = find(record.id) or record
    # Not under way although it is written so: its end could not be written.
    lost = record.state == "running" and record.is_ours
    return JobView(record, "cancelled" if lost else record.state, record.seconds)


def jobs_under_way() -> list[JobView]:
    """Return the jobs that this process runs."""
    with _LOCK:
        live = list(_UNDER_WAY.values())
    return [_live_view(record, job) for record, job in live]


class JobRecorder:
    """Writes the jobs of one run into the history, and tells the page as they change."""

    def __init__(self, history: JobHistory, caller: Caller, task: str, plan: Plan) -> None:
        """Tell nothing yet."""
        self._history, self._caller, self._task = history, caller, task
        self._model = plan.model.id
        self._has_previews = plan.endpoint.kind.has_previews
        self._told: dict[str, JobView] = {}
        self._telling = threading.Lock()

    def begin(self, jobs: Sequence[Job]) -> None:
        """Record jobs that begin; blocks for the disk."""
        records = [
            JobRecord(
                id=job.id,
                began_at=job.queued_at,
                task=self._task,
                node_type=self._caller.node_type,
                node_id=self._caller.node_id,
                model=self._model,
                prompt=job.request.summary,
            )
            for job in jobs
        ]
        _register(records, jobs)  # first: what is written as running and is not here is lost
        with contextlib.suppress(LedgerError):
            has_workflow = self._history.begin(records, self._caller.workflow) is not None
            _register([replace(record, has_workflow=has_workflow) for record in records], jobs)

    def tell_changes(self, jobs: Sequence[Job]) -> None:
        """Tell the page of every job that is in another state than when it was last told."""
        for job in jobs:
            with _LOCK:
                live = _UNDER_WAY.get(job.id)
            if live:
                self._tell(_live_view(*live))

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
        with contextlib.suppress(LedgerError):
            record = self._history.end(
                record, [result.request_id for result in results if result.request_id]
            )
        with _LOCK:
            _UNDER_WAY.pop(job.id, None)
        self._tell(JobView(record, record.state, record.seconds))

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
        """Record jobs of which none may start."""
        for job in jobs:
            job.error = error
        self.end_all(jobs)

    def _tell(self, view: JobView) -> None:
        with self._telling:
            last = self._told.get(view.record.id)
            if last is None or _is_news(view, last):
                self._told[view.record.id] = view
                events.tell(self._caller, events.JOBS, {"job": view.as_json()})


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
        return JobView(record, "waiting", job.seconds, until)
    return JobView(record, "running", job.seconds)


def _is_news(view: JobView, last: JobView) -> bool:
    """Return whether the page should be told: of one that is over it has been told the last."""
    if last.state not in _LIVE_STATES:
        return False
    moved = abs((view.waits_until or 0) - (last.waits_until or 0))
    return view.state != last.state or moved > _NOTICED_SECONDS


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


def _state(job: Job) -> State:
    if job.error:
        return "failed"
    if job.stage < STAGES:
        return "cancelled"
    return "done" if any(result.origin == "paid" for result in job.results) else "reused"
