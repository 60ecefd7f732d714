"""What open pages are sent without asking.

Jobs and the balance go to every page: each shows the same list, whichever page queued the run.
A failure goes to the page that queued the run, and to none if a program did: the list of jobs has
it on every page. With `--multi-user`, nothing of one user's run is sent to another's page.
Where a preview belongs is sent with it, by `host`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..siliconflow.errors import ConfirmationNeeded, PartialFailure, RequestError
from ..strings.text import SiliconFlowError, Text, has_text, text
from . import host
from .host import Caller

SETTINGS = "siliconflow.settings"
STORED = "siliconflow.stored"
MODELS = "siliconflow.models"
JOBS = "siliconflow.jobs"
BALANCE = "siliconflow.balance"
FAILED = "siliconflow.failed"
BACKGROUND = "siliconflow.background"


def send_settings_changed() -> None:
    """Send to every page that the settings or the key have changed."""
    host.send(SETTINGS, {})


def send_models_refreshed() -> None:
    """Send to every page that an account's list of models was fetched."""
    host.send(MODELS, {})


def send_saved_results_cleared() -> None:
    """Send to every page that the saved results and jobs were cleared."""
    host.send(STORED, {})


def send(caller: Caller, event: str, data: dict[str, Any]) -> None:
    """Send an event about one run; see `send_all`."""
    send_all([caller], event, data)


def send_all(callers: Iterable[Caller], event: str, data: dict[str, Any]) -> None:
    """Send an event about some runs to every page; with several users, to the callers' pages."""
    pages = {caller.page for caller in callers if caller.page}
    for page in pages if host.is_multi_user() else {None}:
        host.send(event, data, page)


def send_failure(caller: Caller, error: SiliconFlowError, model: str) -> None:
    """Send why a run failed to the page that queued it."""
    if caller.page:
        host.send(FAILED, _failure(caller, error, model), caller.page)


def title_of(error: SiliconFlowError) -> Text:
    """Return the few words above an error's message."""
    if isinstance(error, RequestError | PartialFailure):
        return error.what
    keys = (f"comfyui.failed.{kind.__name__}" for kind in type(error).__mro__)
    return text(next(key for key in keys if has_text(key)))


def _failure(caller: Caller, error: SiliconFlowError, model: str) -> dict[str, Any]:
    causes = error.causes if isinstance(error, PartialFailure) else [error]
    first = causes[0]
    remedies = {**getattr(first, "remedies", {}), **error.remedies}
    return {
        "node": caller.node_id,
        "workflow": caller.workflow_id,
        "prompt": caller.prompt_id,
        "kind": type(error).__name__,
        "cause": type(first).__name__,
        "remedies": remedies,
        "title": title_of(error).as_json(),
        "message": error.text.as_json(),
        "model": model,
        "trace_id": first.failure.trace_id if isinstance(first, RequestError) else "",
        "charged": _charged(causes),
        "question": _question(error),
    }


def _question(error: SiliconFlowError) -> dict[str, Any] | None:
    """Return what the page asks, and what it says of the answer: see `/questions`."""
    if not isinstance(error, ConfirmationNeeded):
        return None
    amount = {"cost": error.cost, "currency": error.currency}
    return {"message": error.on_page.as_json(), "contents": list(error.contents), **amount}


def _charged(causes: Iterable[Exception]) -> bool | None:
    """Return whether any failed request was charged, or `None` if that cannot be known."""
    charges = {getattr(cause, "charged", False) for cause in causes}
    return True if True in charges else None if None in charges else False
