"""What the service listed for an account, its models and its own voices, stored in a file.

The file is read while ComfyUI describes the nodes, so a damaged one counts as missing: the next
list that is saved replaces it. Whoever changes it holds a lock: another process may do so too.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
_VOICE_KEYS = ("uri", "name", "model")


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
class OwnVoice:
    """A voice that the account uploaded: its ID, its name, and the model that speaks in it."""

    uri: str
    name: str
    model: str


@dataclass(frozen=True)
class _Content:
    """What the file holds by account: its list, when it was last asked for, its own voices."""

    lists: Mapping[str, ModelList] = field(default_factory=dict)
    asked_at: Mapping[str, float] = field(default_factory=dict)
    voices: Mapping[str, tuple[OwnVoice, ...]] = field(default_factory=dict)


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
        _save(folder, replace(content, lists={name: lists[name] for name in newest}))
    return stored


def load_voices(folder: Path, account: str) -> tuple[OwnVoice, ...]:
    """Return the account's own voices, as far as they are known."""
    return _load(folder / FILE_NAME).voices.get(account, ())


def change_voices(
    folder: Path, account: str, change: Callable[[tuple[OwnVoice, ...]], Iterable[OwnVoice]]
) -> None:
    """Store what `change` makes of the account's own voices. Raises `InvalidSettings`."""
    with _changing(folder) as content:
        changed = tuple(change(content.voices.get(account, ())))
        others = {name: own for name, own in content.voices.items() if name != account}
        newest = dict([*others.items()][1 - MAX_ACCOUNTS :])
        _save(folder, replace(content, voices={**newest, account: changed}))


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
        _save(folder, replace(content, asked_at={name: asked_at[name] for name in newest}))
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


def _save(folder: Path, content: _Content) -> None:
    accounts = {name: vars(models) for name, models in content.lists.items()}
    voices = {name: [vars(voice) for voice in own] for name, own in content.voices.items()}
    everything = {"accounts": accounts, "asked_at": content.asked_at, "voices": voices}
    write_json(folder / FILE_NAME, everything)


def _load(file: Path) -> _Content:
    try:
        stat = file.stat()
    except OSError:
        return _Content()
    return _parse(file, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@lru_cache(maxsize=2)
def _parse(file: Path, _version: tuple[int, int, int]) -> _Content:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        lists = {name: _model_list(entry) for name, entry in content["accounts"].items()}
        asked_at = {name: float(at) for name, at in content.get("asked_at", {}).items()}
        voices = {
            name: tuple(OwnVoice(**{key: str(voice[key]) for key in _VOICE_KEYS}) for voice in own)
            for name, own in content.get("voices", {}).items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return _Content()
    return _Content(lists, asked_at, voices)


def _model_list(entry: Mapping[str, Any]) -> ModelList:
    kinds = {kind: tuple(map(str, ids)) for kind, ids in entry["kinds"].items()}
    return ModelList(float(entry["refreshed_at"]), kinds)
