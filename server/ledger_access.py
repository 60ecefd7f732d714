"""The ledger for the page: closed where several users share it, and clear where it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..comfyui import host
from ..engine.services import current_settings, job_history_for, ledger_for
from ..storage.database import LedgerError
from ..storage.job_history import JobHistory
from ..storage.ledger import Ledger
from ..strings.text import Text
from .answers import NoLedger, SharedServer

_SHARED = Text(
    "This ComfyUI has several users (--multi-user), and the ledger does not tell them apart: what"
    " one request for is not shown to another.",
    "这个 ComfyUI 有多个用户（--multi-user），而账本不区分用户：不会向他人显示各自的内容。",
)
_FAILS = Text("The ledger cannot be used: {reason}.", "账本无法使用：{reason}。")


@contextlib.contextmanager
def page_job_history() -> Iterator[JobHistory]:
    """Give the jobs; raises `SharedServer` or `NoLedger`."""
    with _opened():
        yield job_history_for(current_settings())


@contextlib.contextmanager
def page_ledger() -> Iterator[Ledger]:
    """Give the ledger; raises `SharedServer` or `NoLedger`."""
    with _opened():
        yield ledger_for(current_settings())


@contextlib.contextmanager
def _opened() -> Iterator[None]:
    if host.is_multi_user():
        raise SharedServer(_SHARED)
    try:
        yield
    except LedgerError as error:
        raise NoLedger(_FAILS.format(reason=error.text)) from None
