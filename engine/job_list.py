"""The jobs of a run as people see them: kept by the ledger, live while they are under way.

A ledger that fails takes nothing from a run: its jobs are then seen while they run, and no more.
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
from ..strings.text import SiliconFlowError, Text
from .endpoint import PICTURES, Endpoint
from .job import STAGES, Job

_LIVE_STATES = ("waiting", "running")
_NOTICED_SECONDS = 1.0
"""A wait that moves by less is no news: it is estimated anew again and again."""
_NOT_SENT = Text(
    "Not sent: another request of the same run had failed.",
    "没有发送：同一次运行中的另一个请求已失败。",
)
_UNDER_WAY: dict[str, tuple[JobRecord, Job]] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Shown:
    """A job as the page sees it now."""

    record: JobRecord
    state: str
    seconds: float
    waits_until: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Give it in the page's words."""
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
            "pictures": [_picture(record.id, at, here) for at, here in enumerate(record.pictures)],
            "has_workflow": record.has_workflow,
        }


def shown(record: JobRecord, find: Callable[[str], JobRecord | None]) -> Shown:
    """Give a job as it is now: what is under way in this process is known better than written.

    One that has ended since it was read is read again, by `find`.
    """
    with _LOCK:
        live = _UNDER_WAY.get(record.id)
    if live:
        return _live(*live)
    if _seems_to_run(record):
        record = find(record.id) or record
    # Under way no more although it is written so: its end could not be written.
    state = "cancelled" if _seems_to_run(record) else record.state
    return Shown(record, state, record.seconds)


def _seems_to_run(record: JobRecord) -> bool:
    return record.state == "running" and record.is_ours


def under_way() -> list[Shown]:
    """Give what this process is at."""
    with _LOCK:
        found = list(_UNDER_WAY.values())
    return [_live(record, job) for record, job in found]


class JobRecorder:
    """Tells the ledger and the page of the jobs of one run, as they change."""

    def __init__(
        self, jobs: JobHistory, caller: Caller, task: str, model: str, endpoint: Endpoint = PICTURES
    ) -> None:
        """Tell nothing yet."""
        self._shows_pictures = endpoint.makes_pictures
        self._jobs = jobs
        self._asker = caller
        self._task = task
        self._model = model
        self._told: dict[str, Shown] = {}
        self._telling = threading.Lock()

    def begin(self, jobs: Sequence[Job]) -> None:
        """Record jobs that begin; blocks for the ledger."""
        records = [self._begun(job) for job in jobs]
        _register(records, jobs)  # first: what is written as running and is not here is lost
        with contextlib.suppress(LedgerError):
            kept = self._jobs.begin(records, self._asker.workflow) is not None
            _register([replace(record, has_workflow=kept) for record in records], jobs)

    def look(self, jobs: Sequence[Job]) -> None:
        """Tell the page of every job that is in another state than when it was last told."""
        for job in jobs:
            with _LOCK:
                found = _UNDER_WAY.get(job.id)
            if found:
                self._tell(_live(*found))

    def end(self, job: Job, reason: Text | None = None) -> None:
        """Record what came of a job; blocks for the ledger. Once a job: again it does nothing.

        `reason` is why one that was never begun was not.
        """
        with _LOCK:
            found = _UNDER_WAY.get(job.id)
        if found is None:
            return
        record = _ended(found[0], job, reason)
        kept = job.results if self._shows_pictures else []
        requests = [result.request for result in kept if result.request]
        with contextlib.suppress(LedgerError):
            record = self._jobs.end(record, requests)
        with _LOCK:
            _UNDER_WAY.pop(job.id, None)
        self._tell(Shown(record, record.state, record.seconds))

    def close(self, jobs: Sequence[Job]) -> None:
        """Record the jobs that were never begun, in a thread: their run is at its end."""
        left = [job for job in jobs if not job.begun]
        reason = _NOT_SENT if any(job.error for job in jobs) else None
        if left:
            threading.Thread(target=self.end_all, args=(left, reason), daemon=True).start()

    def stopped(self, jobs: Sequence[Job], error: SiliconFlowError) -> None:
        """Record jobs of which none may begin."""
        for job in jobs:
            job.error = error
        self.end_all(jobs)

    def end_all(self, jobs: Sequence[Job], reason: Text | None = None) -> None:
        """Record what came of several jobs."""
        for job in jobs:
            self.end(job, reason)

    def _begun(self, job: Job) -> JobRecord:
        return JobRecord(
            id=job.id,
            began_at=job.began_at,
            task=self._task,
            node_type=self._asker.node_type,
            node_id=self._asker.node_id,
            model=self._model,
            prompt=job.ask.words,
        )

    def _tell(self, job: Shown) -> None:
        with self._telling:
            last = self._told.get(job.record.id)
            if last is None or _is_news(job, last):
                self._told[job.record.id] = job
                events.send(self._asker, events.JOBS, {"job": job.as_json()})


def _register(records: Sequence[JobRecord], jobs: Sequence[Job]) -> None:
    pairs = zip(records, jobs, strict=True)
    with _LOCK:
        _UNDER_WAY.update({job.id: (record, job) for record, job in pairs})


def _live(record: JobRecord, job: Job) -> Shown:
    """Tell how far a job is; one that is not begun waits for those before it."""
    now = time.monotonic()
    if not job.begun:
        return Shown(record, "waiting", 0.0)
    if job.waits_for and not job.is_sent:
        until = time.time() + job.waits_until - now
        return Shown(record, "waiting", job.seconds, until)
    return Shown(record, "running", job.seconds)


def _is_news(job: Shown, last: Shown) -> bool:
    """Tell whether the page should hear of it: of one that is over it has heard the last."""
    if last.state not in _LIVE_STATES:
        return False
    moved = abs((job.waits_until or 0) - (last.waits_until or 0))
    return job.state != last.state or moved > _NOTICED_SECONDS


def _ended(record: JobRecord, job: Job, reason: Text | None) -> JobRecord:
    error = job.error
    trace_id = error.failure.trace_id if isinstance(error, RequestError) else ""
    traces = [result.facts.trace_id for result in job.results]
    return replace(
        record,
        state=_state(job),
        seconds=job.seconds,
        reason=error.text if error else reason,
        trace_id=trace_id or next(filter(None, reversed(traces)), ""),
        origins=tuple(dict.fromkeys(result.origin for result in job.results)),
    )


def _state(job: Job) -> State:
    if job.error:
        return "failed"
    if job.stage < STAGES:
        return "cancelled"
    return "done" if any(result.origin == "paid" for result in job.results) else "reused"


def _picture(job: str, place: int, here: bool) -> dict[str, Any]:
    address = f"/siliconflow/jobs/{job}/{place}/thumbnail"
    return {"place": place, "thumbnail": address, "is_here": here}
