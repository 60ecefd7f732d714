"""Goes on with what an earlier process submitted: asks for the results, and sends nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from ..comfyui.host import Caller
from ..engine.job import Job, plan_of_bodies
from ..engine.lifecycle import RequestLifecycle
from ..engine.progress import JobRecorder
from ..engine.services import client_for, current_settings, job_history_for, ledger_for
from ..engine.threads import start_thread
from ..siliconflow import catalogue
from ..storage.ledger import Unfinished
from .registry import TICKETS


def go_on(submitted: Sequence[Unfinished]) -> None:
    """Fetch the results of submitted requests, each in a thread; they come into the ledger."""
    for request in submitted:
        if request.submitter.task in TICKETS:
            start_thread(_fetch, request)


def _fetch(submitted: Unfinished) -> None:
    """Fetch one result. The list shows its job as it did before the process ended."""
    who = submitted.submitter
    settings = replace(current_settings(), reuse=True)  # or it would be asked for as if it were new
    model = catalogue.load().find(submitted.model, settings.site)
    plan = plan_of_bodies(model, [{"model": model.id}], TICKETS[who.task])
    job = Job(plan.requests[0], threading.Event(), id=who.job)
    recorder = JobRecorder(job_history_for(settings), Caller(), who.task, plan)
    client, ledger = client_for(settings), ledger_for(settings)
    lifecycle = RequestLifecycle(who.task, settings, client, ledger, plan)
    job.start()
    recorder.go_on(job)
    try:
        lifecycle.go_on(job, submitted.fingerprint)
    finally:
        recorder.end(job)
