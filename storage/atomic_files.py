"""Write files that are either complete or absent, whenever the process dies."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

PART = ".part"
"""The ending of a file that is being written: `<name>.<32 hex digits>.part`."""


def write(file: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file, and its folder; raise `OSError` and leave the old file if that fails.

    The content survives a power failure as soon as this returns. Only its owner can read a
    `private` file, from its first byte on.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex}{PART}")
    try:
        with open(part, "xb", opener=_open_private if private else None) as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _sync_folder(file.parent)


def create(file: Path) -> bool:
    """Create an empty file, and its folder; return false if it is there, whoever created it.

    Of several processes one gets true. Raises `OSError` if it cannot be created.
    """
    if file.exists():
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.open("x").close()
    except FileExistsError:
        return False
    return True


def write_json(file: Path, value: Any, *, private: bool = False) -> None:
    """Write a value as indented JSON in UTF-8; raise `OSError` if that fails."""
    content = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    write(file, content.encode(), private=private)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """Make the file's name durable as well, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
