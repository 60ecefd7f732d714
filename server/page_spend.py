"""What was spent today and this month, by the pack's own records."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from ..engine.services import current_settings
from ..engine.spending import Spent, spent_by_model, times_began
from ..strings.text import text
from .ledger_access import page_ledger
from .page_http import BadRequest, Json, PageRequest

MOST_RUNS = 1000
"""No question is answered for more runs at once."""


def read(_request: PageRequest) -> Json:
    """Return what was spent, by model, and what would have been without the saved results."""
    settings = current_settings()
    with page_ledger() as ledger, ledger.spending() as book:
        today, month = (spent_by_model(book.since(began), settings) for began in times_began())
    return {"currency": settings.currency, "today": _period(today), "month": _period(month)}


def forget_questions(request: PageRequest) -> Json:
    """Forget that the user was asked about `contents`: who cancels is asked again."""
    contents = _contents(request)
    with page_ledger(is_shared=True) as ledger, ledger.spending() as book:
        book.forget_questions(contents)
    return {}


def answer_questions(request: PageRequest) -> Json:
    """Record that the user has read what there is to confirm of `contents`, and wants it.

    For as many `runs`: 1 unless it says so.
    """
    contents, runs = _contents(request), request.body.get("runs", 1)
    if type(runs) is not int or not 1 <= runs <= MOST_RUNS:
        raise BadRequest(text("server.bad_runs", most=MOST_RUNS))
    with page_ledger(is_shared=True) as ledger, ledger.spending() as book:
        book.answer_questions(contents, runs)
    return {}


def _contents(request: PageRequest) -> list[str]:
    """Return the hashes that the event of a failure named: nobody else's are touched."""
    contents = request.body.get("contents")
    if not isinstance(contents, list) or not all(isinstance(each, str) for each in contents):
        raise BadRequest(text("server.bad_contents"))
    return contents


def _period(models: Sequence[Spent]) -> Json:
    return {
        "spent": f"{sum((each.spent for each in models), Decimal(0)):f}",
        "saved": f"{sum((each.saved for each in models), Decimal(0)):f}",
        "unknown": sum(each.unknown_items for each in models),
        "models": [
            {
                "model": each.model,
                "spent": f"{each.spent:f}",
                "saved": f"{each.saved:f}",
                "unknown": each.unknown_items,
            }
            for each in models
        ],
    }
