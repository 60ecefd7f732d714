"""The job list: what was asked for, what is under way, and how it ended."""

from __future__ import annotations

import math
import time
from datetime import datetime

from ..engine import progress
from ..strings.text import Text
from .answers import BadRequest, File, Json, NotFound, PageRequest
from .ledger_access import page_job_history

_SINCE = Text("since must be a time in seconds.", "since 应为以秒表示的时间。")
_NO_WORKFLOW = Text(
    "The workflow of this job is not kept: it was queued without one, or it was cleared.",
    "这个任务没有保存工作流：运行时没有附带，或已被清除。",
)


def listed(request: PageRequest) -> Json:
    """Answer with the jobs since a time, or of today, and with all that is under way."""
    moment = _moment(request.query.get("since"))
    with page_job_history() as jobs:
        kept = [progress.view_of(record, jobs.find) for record in jobs.since(moment)]
    # Those that began earlier, or of which a file that failed knows nothing.
    known = {job.record.id for job in kept}
    unkept = [job for job in progress.jobs_under_way() if job.record.id not in known]
    newest = sorted([*unkept, *kept], key=lambda job: -job.record.began_at)
    return {"jobs": [job.as_json() for job in newest], "now": time.time()}


def workflow(request: PageRequest) -> File:
    """Answer with the workflow that request for a job."""
    with page_job_history() as jobs:
        found = jobs.workflow(request.named["id"])
    if found is None:
        raise NotFound(_NO_WORKFLOW)
    return File(found, "application/json")


def _moment(since: str | None) -> float:
    if since is None:
        today = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return today.timestamp()
    try:
        moment = float(since)
    except ValueError:
        raise BadRequest(_SINCE) from None
    if not math.isfinite(moment):
        raise BadRequest(_SINCE)
    return moment
