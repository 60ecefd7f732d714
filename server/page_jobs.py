"""The job list: what was requested, what is running, and how it ended."""

from __future__ import annotations

import math
import time
from datetime import datetime

from ..engine import progress
from ..strings.text import text
from .ledger_access import page_job_history
from .page_http import BadRequest, File, Json, NotFound, PageRequest


def list_jobs(request: PageRequest) -> Json:
    """Return the jobs since a time (by default today's), and all that are running."""
    since = _since(request.query.get("since"))
    with page_job_history() as jobs:
        saved = [progress.view_of(record, jobs.find) for record in jobs.since(since)]
    # Running jobs that began earlier, or that could not be written to the history.
    saved_ids = {job.record.id for job in saved}
    running = [job for job in progress.jobs_under_way() if job.record.id not in saved_ids]
    newest_first = sorted([*running, *saved], key=lambda job: -job.record.began_at)
    return {"jobs": [job.as_json() for job in newest_first], "now": time.time()}


def read_workflow(request: PageRequest) -> File:
    """Return the workflow of a job."""
    with page_job_history() as jobs:
        workflow = jobs.workflow(request.params["id"])
    if workflow is None:
        raise NotFound(text("server.no_workflow"))
    return File(workflow, "application/json")


def _since(query: str | None) -> float:
    if query is None:
        today = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return today.timestamp()
    try:
        since = float(query)
    except ValueError:
        since = math.nan
    if not math.isfinite(since):
        raise BadRequest(text("server.bad_since"))
    return since
