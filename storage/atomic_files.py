"""Files that are either whole or not there, whenever the process dies."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

PART = ".part"


def write(file: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file so that it survives a crash as soon as this returns; OSError if it cannot.

    A `private` one can be read by its owner alone, from its first byte on.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex}{PART}")
    try:
        with open(part, "xb", opener=_private if private else None) as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _sync_directory(file.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_directory(directory: Path) -> None:
    """Make the new name itself durable, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
