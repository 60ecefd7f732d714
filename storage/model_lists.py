"""The model lists that the service returned, stored in a file, one list per account.

The file is read while ComfyUI describes the nodes, so a damaged one counts as missing: the next
list that is saved replaces it. Whoever changes it holds a lock: another process may do so too.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .atomic_files import write_json
from .process_locks import exclusive
from .settings import unwritable

FILE_NAME = "models.json"
MAX_ACCOUNTS = 8
SPEAKING = "speaking"
"""This pack's own kind for the models that speak: the service has none for them."""
EVERY = "every"
"""This pack's own kind for all models of an account, whatever the service says they are for."""


@dataclass(frozen=True)
class ModelList:
    """The ids of an account's models by kind, the service's kinds and our own, at one time."""

    refreshed_at: float
    """Seconds since 1970."""
    kinds: Mapping[str, tuple[str, ...]]

    def __contains__(self, model_id: object) -> bool:
        """Return whether the account has a model of any kind."""
        return any(model_id in ids for ids in self.kinds.values())


@dataclass(frozen=True)
class _Content:
    """What the file holds by account: its list, and when the service was last asked for it."""

    lists: Mapping[str, ModelList]
    asked_at: Mapping[str, float]


def load_model_list(folder: Path, account: str) -> ModelList | None:
    """Return the stored list of an account; the file is read only if it has changed."""
    return _load(folder / FILE_NAME).lists.get(account)


def save_model_list(folder: Path, account: str, models: ModelList) -> ModelList:
    """Store the list of an account beside the newest of others, `MAX_ACCOUNTS` in all.

    A kind that is empty, or was not asked for, stays as it was: an answer without models says
    nothing of an account. Returns what is stored; raises `InvalidSettings` if that fails.
    """
    with _changing(folder) as content:
        last = content.lists.get(account)
        filled = {kind: ids for kind, ids in models.kinds.items() if ids}
        stored = ModelList(models.refreshed_at, {**(last.kinds if last else {}), **filled})
        lists = {**content.lists, account: stored}
        newest = sorted(lists, key=lambda name: lists[name].refreshed_at)[-MAX_ACCOUNTS:]
        _save(folder, {name: lists[name] for name in newest}, content.asked_at)
    return stored


def claim_refresh(folder: Path, account: str, every: float) -> bool:
    """Return whether an account's list may be asked for: not if it was within `every` seconds.

    If so, this is stored first: of several processes one asks, and a crash or a failure is not
    followed by another request at once. Raises `InvalidSettings` if it cannot be stored.
    """
    if _was_asked(_load(folder / FILE_NAME), account, every):
        return False
    with _changing(folder) as content:
        if _was_asked(content, account, every):
            return False
        asked_at = {**content.asked_at, account: time.time()}
        newest = sorted(asked_at, key=lambda name: asked_at[name])[-MAX_ACCOUNTS:]
        _save(folder, content.lists, {name: asked_at[name] for name in newest})
    return True


def _was_asked(content: _Content, account: str, within: float) -> bool:
    """Return whether the service was asked within so many seconds, and not in the future."""
    return 0 <= time.time() - content.asked_at.get(account, 0.0) < within


@contextlib.contextmanager
def _changing(folder: Path) -> Iterator[_Content]:
    """Yield what the file holds, which nobody else changes meanwhile."""
    file = folder / FILE_NAME
    try:
        with exclusive(folder / "models.lock"):
            yield _load(file)
    except OSError as error:
        raise unwritable(file, error) from None


def _save(folder: Path, lists: Mapping[str, ModelList], asked_at: Mapping[str, float]) -> None:
    accounts = {name: vars(models) for name, models in lists.items()}
    write_json(folder / FILE_NAME, {"accounts": accounts, "asked_at": asked_at})


def _load(file: Path) -> _Content:
    try:
        stat = file.stat()
    except OSError:
        return _Content({}, {})
    return _parse(file, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@lru_cache(maxsize=2)
def _parse(file: Path, _version: tuple[int, int, int]) -> _Content:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        lists = {name: _model_list(entry) for name, entry in content["accounts"].items()}
        asked_at = {name: float(at) for name, at in content.get("asked_at", {}).items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return _Content({}, {})
    return _Content(lists, asked_at)


def _model_list(entry: Mapping[str, Any]) -> ModelList:
    kinds = {kind: tuple(map(str, ids)) for kind, ids in entry["kinds"].items()}
    return ModelList(float(entry["refreshed_at"]), kinds)
