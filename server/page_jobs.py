"""The job list: what was requested, what is running, and how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import datetime

from ..engine import progress
from ..engine.progress import JobView
from ..storage.job_history import MAX_LISTED, JobSearch
from ..strings.text import text
from .ledger_access import page_job_history
from .page_http import BadRequest, File, Json, NotFound, PageRequest


def list_jobs(request: PageRequest) -> Json:
    """Return the jobs since a time (by default today's), and all that are running.

    With a `limit`, a part of the list of all jobs that a search takes: the first one, or the one
    that begins at `before`.
    """
    query = request.query
    if "limit" in query:
        return _list_page(query)
    since = _since(query.get("since"))
    with page_job_history() as jobs:
        saved = [progress.view_of(record, jobs.find) for record in jobs.since(since)]
    return _listed(saved, progress.jobs_under_way(), None)


def _list_page(query: Mapping[str, str]) -> Json:
    limit, before = _limit(query["limit"]), query.get("before")
    search = JobSearch(
        tuple(query.get("search", "").split()),
        frozenset(filter(None, query.get("state", "").split(","))),
        frozenset(filter(None, query.get("task", "").split(","))),
    )
    with page_job_history() as jobs:
        page = jobs.page(search, limit, _position(before)) if before else jobs.page(search, limit)
        views = [progress.view_of(record, jobs.find) for record in page.jobs]
    under_way = [] if before else progress.jobs_under_way()
    saved, running = (
        [view for view in part if search.takes(view.record, view.state)]
        for part in (views, under_way)
    )
    return _listed(saved, running, page.next)


def _listed(
    saved: list[JobView], under_way: list[JobView], position: tuple[float, int] | None
) -> Json:
    # Running jobs that began earlier, or that could not be written to the history.
    saved_ids = {job.record.id for job in saved}
    running = [job for job in under_way if job.record.id not in saved_ids]
    newest_first = sorted([*running, *saved], key=lambda job: -job.record.began_at)
    return {
        "jobs": [job.as_json() for job in newest_first],
        "now": time.time(),
        "next": position and "{!r} {}".format(*position),
    }


def read_workflow(request: PageRequest) -> File:
    """Return the workflow of a job."""
    with page_job_history() as jobs:
        workflow = jobs.workflow(request.params["id"])
    if workflow is None:
        raise NotFound(text("server.no_workflow"))
    return File(workflow, "application/json")


def _limit(query: str) -> int:
    limit = int(query) if query.isascii() and query.isdigit() and len(query) < 6 else 0
    if not 0 < limit <= MAX_LISTED:
        raise BadRequest(text("server.bad_limit", most=MAX_LISTED))
    return limit


def _position(query: str) -> tuple[float, int]:
    """Return where a page begins, as the `next` of the page before says it."""
    moment, _, row = query.partition(" ")
    try:
        return float(moment), int(row)
    except ValueError:
        raise BadRequest(text("server.bad_position")) from None


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
