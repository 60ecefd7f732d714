"""Settings, client, ledger and job history as they are now: the settings are read at each run."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from ..comfyui import host
from ..siliconflow.client import Client
from ..storage import notices
from ..storage import settings as settings_file
from ..storage.job_history import JobHistory
from ..storage.ledger import Ledger
from ..storage.settings import Settings
from ..strings.text import use_language

_DAY = 86400


def current_settings() -> Settings:
    """Read the settings as they are now, and show messages in the language they name."""
    use_language(host.language(""))  # of what is wrong with the settings
    settings = settings_file.load(host.data_directory(), os.environ)
    use_language(host.language(settings.language))
    return settings


def client_for(settings: Settings) -> Client:
    """Return the pooled client of this account. Raises `MissingKey` if there is no key."""
    return _client(
        settings.require_key(host.data_directory()),
        settings.base_url,
        settings.connect_timeout,
        settings.read_timeout,
        int(settings.most_picture_mib * (1 << 20)),
    )


def ledger_for(settings: Settings) -> Ledger:
    """Return the ledger of the data folder, with the limits of the settings."""
    ledger = _ledger(host.data_directory())
    ledger.max_bytes = int(settings.ledger_gib * (1 << 30))
    ledger.max_age = settings.ledger_days * _DAY
    return ledger


def job_history_for(settings: Settings) -> JobHistory:
    """Return the job history, which is kept for as long as the ledger keeps the images."""
    history = _job_history(host.data_directory())
    history.max_age = settings.ledger_days * _DAY
    return history


@lru_cache(maxsize=4)
def _client(
    key: str, base_url: str, connect_timeout: float, read_timeout: float, max_bytes: int
) -> Client:
    return Client(
        key,
        base_url,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        max_file_bytes=max_bytes,
    )


@lru_cache(maxsize=4)
def _ledger(directory: Path) -> Ledger:
    notices.tell_about_folder(directory)
    return Ledger(directory)


@lru_cache(maxsize=4)
def _job_history(directory: Path) -> JobHistory:
    ledger = _ledger(directory)
    return JobHistory(
        ledger.database.folder,
        ledger.files_folder,
        ledger.file_names_of,
        ledger.is_job_unpaid,
        max_age=ledger.max_age,
    )
