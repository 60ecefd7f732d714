"""Settings, client and ledger as they are now: read anew whenever they are asked for."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from ..comfyui import host
from ..siliconflow.client import Client
from ..storage import settings as settings_file
from ..storage.job_history import JobHistory
from ..storage.ledger import Ledger
from ..storage.settings import Settings
from ..strings.text import use_language


def current_settings() -> Settings:
    """Read the settings as they are now, and show messages in the language they name."""
    language = ""
    try:
        settings = settings_file.load(host.data_directory(), os.environ)
        language = settings.language
    finally:  # what is wrong with the settings is said in ComfyUI's language
        use_language(host.language(language))
    return settings


def client_for(settings: Settings) -> Client:
    """Give the pooled client of this account; raises `MissingKey` if there is no key."""
    return _client(
        settings.require_key(host.data_directory()),
        settings.base_url,
        settings.connect_timeout,
        settings.read_timeout,
        int(settings.most_picture_mib * (1 << 20)),
    )


def ledger_for(settings: Settings) -> Ledger:
    """Give the ledger of the data folder, with the bounds of the settings."""
    ledger = _ledger(host.data_directory())
    ledger.most_bytes = int(settings.ledger_gib * (1 << 30))
    ledger.most_seconds = _most_seconds(settings)
    return ledger


def job_history_for(settings: Settings) -> JobHistory:
    """Give the jobs of the data folder, kept for as long as the ledger keeps their pictures."""
    jobs = _jobs(host.data_directory())
    jobs.most_seconds = _most_seconds(settings)
    return jobs


def _most_seconds(settings: Settings) -> float:
    return settings.ledger_days * 86400


@lru_cache(maxsize=4)
def _client(
    key: str, base_url: str, connect_timeout: float, read_timeout: float, most_bytes: int
) -> Client:
    return Client(
        key,
        base_url,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        max_file_bytes=most_bytes,
    )


@lru_cache(maxsize=4)
def _ledger(directory: Path) -> Ledger:
    return Ledger(directory)


@lru_cache(maxsize=4)
def _jobs(directory: Path) -> JobHistory:
    ledger = _ledger(directory)
    return JobHistory(
        ledger.records.folder,
        ledger.pictures,
        ledger.files_of,
        most_seconds=ledger.most_seconds,
    )
