"""The job list: what was asked for, what is under way, and how it ended."""

from __future__ import annotations

import math
import time
from datetime import datetime

from ..strings.text import Text
from ..engine import job_list as history
from .answers import Asked, BadRequest, File, Json, NotFound
from .ledger_access import jobs_of_page

_SINCE = Text("since must be a time in seconds.", "since 应为以秒表示的时间。")
_NO_WORKFLOW = Text(
    "The workflow of this job is not kept: it was queued without one, or it was cleared.",
    "这个任务没有保存工作流：运行时没有附带，或已被清除。",
)


def listed(asked: Asked) -> Json:
    """Answer with the jobs since a time, or of today, and with all that is under way."""
    moment = _moment(asked.query.get("since"))
    with jobs_of_page() as jobs:
        kept = [history.shown(record, jobs.find) for record in jobs.since(moment)]
    # Those that began earlier, or of which a file that failed knows nothing.
    known = {job.record.id for job in kept}
    unkept = [job for job in history.under_way() if job.record.id not in known]
    newest = sorted([*unkept, *kept], key=lambda job: -job.record.began_at)
    return {"jobs": [job.as_json() for job in newest], "now": time.time()}


def workflow(asked: Asked) -> File:
    """Answer with the workflow that asked for a job."""
    with jobs_of_page() as jobs:
        found = jobs.workflow(asked.named["id"])
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
