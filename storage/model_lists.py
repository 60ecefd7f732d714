"""The model lists that the service returned, stored in a file, one list per account.

The file is read while ComfyUI describes the nodes, so a damaged one counts as missing: the next
list that is saved replaces it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .settings import write_data_file

FILE_NAME = "models.json"
MAX_ACCOUNTS = 8
SPEAKING = "speaking"
"""This pack's own kind for the models that speak: the service has none for them."""
_LOCK = threading.Lock()


@dataclass(frozen=True)
class ModelList:
    """The ids of an account's models by kind, the service's kinds and `SPEAKING`, at one time."""

    refreshed_at: float
    """Seconds since 1970."""
    kinds: Mapping[str, tuple[str, ...]]

    def __contains__(self, model_id: object) -> bool:
        """Return whether the account has a model of any kind."""
        return any(model_id in ids for ids in self.kinds.values())


def load_model_list(folder: Path, account: str) -> ModelList | None:
    """Return the stored list of an account; the file is read only if it has changed."""
    return _load_all(folder / FILE_NAME).get(account)


def save_model_list(folder: Path, account: str, models: ModelList) -> None:
    """Store the list of an account beside the newest of others, `MAX_ACCOUNTS` in all.

    Raises `InvalidSettings` if the file cannot be written.
    """
    file = folder / FILE_NAME
    with _LOCK:
        lists = {**_load_all(file), account: models}
        newest = sorted(lists, key=lambda name: lists[name].refreshed_at)[-MAX_ACCOUNTS:]
        write_data_file(file, {"accounts": {name: vars(lists[name]) for name in newest}})


def _load_all(file: Path) -> dict[str, ModelList]:
    try:
        stat = file.stat()
    except OSError:
        return {}
    return _parse(file, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@lru_cache(maxsize=2)
def _parse(file: Path, _version: tuple[int, int, int]) -> dict[str, ModelList]:
    try:
        accounts = json.loads(file.read_text(encoding="utf-8"))["accounts"]
        return {name: _model_list(entry) for name, entry in accounts.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _model_list(entry: Mapping[str, Any]) -> ModelList:
    kinds = {kind: tuple(map(str, ids)) for kind, ids in entry["kinds"].items()}
    return ModelList(float(entry["refreshed_at"]), kinds)
