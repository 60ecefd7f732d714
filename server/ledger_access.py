"""The ledger and the job history for the page. With several users the page sees neither."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..comfyui import host
from ..engine.services import current_settings, job_history_for, ledger_for
from ..storage.database import LedgerError
from ..storage.job_history import JobHistory
from ..storage.ledger import Ledger
from ..strings.text import text
from .page_http import NoLedger, SharedServer


@contextlib.contextmanager
def page_job_history() -> Iterator[JobHistory]:
    """Yield the job history. Raises `SharedServer` or `NoLedger`."""
    with _page_errors():
        yield job_history_for(current_settings())


@contextlib.contextmanager
def page_ledger(*, is_shared: bool = False) -> Iterator[Ledger]:
    """Yield the ledger. Raises `NoLedger`, and `SharedServer` unless all users may share it."""
    with _page_errors(is_shared=is_shared):
        yield ledger_for(current_settings())


@contextlib.contextmanager
def _page_errors(*, is_shared: bool = False) -> Iterator[None]:
    if host.is_multi_user() and not is_shared:
        raise SharedServer(text("server.shared_results"))
    try:
        yield
    except LedgerError as error:
        raise NoLedger(text("server.ledger_failed", reason=error.text)) from None
