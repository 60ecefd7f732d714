"""What the ledger keeps, and clearing it."""

from __future__ import annotations

from ..comfyui import events
from .answers import Json, PageRequest
from .ledger_access import page_job_history, page_ledger


def read(_request: PageRequest) -> Json:
    """Answer with how much is stored, and where."""
    with page_ledger() as ledger:
        found = ledger.totals()
        return {
            "requests": found.requests,
            "pictures": found.files,
            "bytes": found.size,
            "directory": str(ledger.files_folder),
        }


def clear(request: PageRequest) -> Json:
    """Remove every stored picture and ended job, but nothing that is under way or on its way."""
    with page_ledger() as ledger, page_job_history() as jobs:
        ledger.clear()
        jobs.clear()
    events.stored_changed()
    return read(request)
