"""The saved results: how many there are, and clearing them."""

from __future__ import annotations

from ..comfyui import events
from ..engine import prompt_costs
from .ledger_access import page_job_history, page_ledger
from .page_http import Json, PageRequest


def read(_request: PageRequest) -> Json:
    """Return how much is saved, and where."""
    with page_ledger() as ledger:
        totals = ledger.totals()
        return {
            "requests": totals.requests,
            "pictures": totals.files,
            "bytes": totals.size,
            "directory": str(ledger.files_folder),
        }


def clear(request: PageRequest) -> Json:
    """Delete the saved results and ended jobs, but nothing that is running or still to arrive."""
    with page_ledger() as ledger, page_job_history() as jobs:
        ledger.clear()
        prompt_costs.forget_done()
        jobs.clear()
    events.send_saved_results_cleared()
    return read(request)
