"""What the ledger keeps, and clearing it."""

from __future__ import annotations

from ..comfyui import events
from .answers import Asked, Json
from .ledger_access import jobs_of_page, ledger_of_page


def read(_asked: Asked) -> Json:
    """Answer with how much is stored, and where."""
    with ledger_of_page() as ledger:
        found = ledger.totals()
        return {
            "requests": found.requests,
            "pictures": found.pictures,
            "bytes": found.size,
            "directory": str(ledger.pictures),
        }


def clear(asked: Asked) -> Json:
    """Remove every stored picture and ended job, but nothing that is under way or on its way."""
    with ledger_of_page() as ledger, jobs_of_page() as jobs:
        ledger.clear()
        jobs.clear()
    events.stored_changed()
    return read(asked)
