"""The lists of models that the service gave, remembered in a file, an account each.

Nothing here asks the service. The file is read while ComfyUI describes the nodes, so a damaged one
counts as absent: the next list that is remembered makes it anew.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .settings_saving import write_json

FILE_NAME = "models.json"
MOST_ACCOUNTS = 8
SPEAKING = "speaking"
"""Our own kind of the models that speak: the service has none for them."""
_LOCK = threading.Lock()


@dataclass(frozen=True)
class ModelList:
    """What an account had at a time, by the service's own kinds of models."""

    refreshed_at: float
    kinds: Mapping[str, tuple[str, ...]]

    def __contains__(self, model_id: object) -> bool:
        """Tell whether the account has a model, of whatever kind."""
        return any(model_id in ids for ids in self.kinds.values())


def recall(directory: Path, account: str) -> ModelList | None:
    """Give what was remembered of an account; reads the file only when it has changed."""
    return _lists(directory / FILE_NAME).get(account)


def remember(directory: Path, account: str, found: ModelList) -> None:
    """Keep the list of an account, and those of the accounts that were asked for last."""
    file = directory / FILE_NAME
    with _LOCK:
        lists = {**_lists(file), account: found}
        newest = sorted(lists, key=lambda name: lists[name].refreshed_at)[-MOST_ACCOUNTS:]
        write_json(file, {"accounts": {name: vars(lists[name]) for name in newest}})


def _lists(file: Path) -> dict[str, ModelList]:
    try:
        stat = file.stat()
    except OSError:
        return {}
    return _read(file, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@lru_cache(maxsize=2)
def _read(file: Path, _version: tuple[int, int, int]) -> dict[str, ModelList]:
    try:
        accounts = json.loads(file.read_text(encoding="utf-8"))["accounts"]
        return {name: _list(entry) for name, entry in accounts.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _list(entry: Mapping[str, Any]) -> ModelList:
    kinds = {kind: tuple(map(str, ids)) for kind, ids in entry["kinds"].items()}
    return ModelList(float(entry["refreshed_at"]), kinds)
