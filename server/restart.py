"""What is done when ComfyUI starts: submitted requests of an earlier process are gone on with."""

from __future__ import annotations

import logging
import os
from contextlib import closing
from importlib import import_module

from ..comfyui import host
from ..engine.threads import start_thread
from ..storage import settings as settings_file
from ..storage.accounts import account_id
from ..storage.settings import InvalidSettings

logger = logging.getLogger("siliconflow")


def go_on() -> None:
    """Go on with submitted requests, in a thread: ComfyUI's start does not wait for it."""
    start_thread(_go_on)


def _go_on() -> None:
    """Look into the ledger; the tasks are loaded only if something is to be fetched."""
    from ..storage.database import LedgerError  # noqa: PLC0415 - not at ComfyUI's start
    from ..storage.ledger import Ledger  # noqa: PLC0415 - as above

    try:
        folder = host.data_directory()
        settings = settings_file.load(folder, os.environ)
        if not settings.api_key:
            return
        with closing(Ledger(folder)) as ledger:
            account = account_id(settings.api_key, settings.base_url)
            submitted = ledger.unfinished(account)
    except (InvalidSettings, LedgerError) as error:
        logger.warning("Submitted requests cannot be gone on with: %s", error)
        return
    if submitted:
        logger.info("Going on with %d submitted requests", len(submitted))
        import_module("..tasks.unfinished", __package__).go_on(submitted)
