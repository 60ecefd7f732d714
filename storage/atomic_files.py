"""Write files that are either complete or absent, whenever the process dies."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from . import notices

if sys.platform != "win32":
    import fcntl

_UNSUPPORTED = {
    errno.EINVAL,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EBADF,
    errno.EACCES,
    errno.EPERM,
}
"""How network drives, shared folders of virtual machines and FUSE refuse to sync a folder."""
_RENAME_PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds between the tries to rename a file that a virus scanner or OneDrive holds open."""


def write(
    file: Path,
    content: bytes | Callable[[BinaryIO], None],
    *,
    private: bool = False,
    part_folder: Path | None = None,
) -> int:
    """Write a file, and its folder; return its bytes.

    Raises `OSError` and leaves the old file if that fails.

    `content` may be a function that writes into the file while it is open, and checks it: what it
    raises is raised here, and leaves nothing.

    The content survives a power failure as soon as this returns, where the drive can promise that.
    Only its owner can read a `private` file, from its first byte on. While it is written it is a
    file in `part_folder`, which must be on the same drive; by default in the file's own folder.
    """
    folder = part_folder or file.parent
    for needed in {folder, file.parent}:
        needed.mkdir(parents=True, exist_ok=True)
    part = folder / f"{uuid.uuid4().hex[:16]}.part"
    try:
        with open(part, "xb", opener=_open_private if private else None) as opened:
            if callable(content):
                content(opened)
            else:
                opened.write(content)
            opened.flush()
            _sync(opened.fileno())
            size = opened.seek(0, os.SEEK_END)
        rename(part, file)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _sync_folder(file.parent)
    return size


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


def rename(source: Path, target: Path) -> None:
    """Rename a file, replacing `target`; one that another program holds is tried for a second."""
    for pause in _RENAME_PAUSES:
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    source.replace(target)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(file: int) -> None:
    """Write a file to the drive itself; on macOS `fsync` leaves it in the drive's cache."""
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):  # network drives have none
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    """Make the file's name durable as well, where the system can."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        notices.tell("disk.no_folder_sync", folder=folder)
