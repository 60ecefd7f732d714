"""What a user should know about the disk: in the console and on the next node that runs.

Each sentence at most once an hour, for a fault of the disk would otherwise be told with every file.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import deque
from pathlib import Path, PurePath

from ..strings.text import Text, text

PENDING: deque[Text] = deque(maxlen=8)
"""What no node has shown yet."""
LONGEST_BELOW = 120
"""Characters of the longest path of ours below the data folder."""
_LONGEST_ON_WINDOWS = 259
_SYNCHRONIZED = {
    "OneDrive": re.compile(r"/(onedrive( - [^/]+)?|cloudstorage/onedrive[^/]*)/"),
    "iCloud Drive": re.compile(r"/(mobile documents|com~apple~clouddocs|icloud ?drive)/"),
    "Dropbox": re.compile(r"/(dropbox( \([^/]+\))?|cloudstorage/dropbox[^/]*)/"),
}
"""What the services call the folders that they synchronize, in lower case."""
_SECONDS = 3600.0
logger = logging.getLogger("siliconflow")
_LOCK = threading.Lock()
_last_told: dict[str, float] = {}


def tell(key: str, **values: object) -> None:
    """Log the message of a key, and keep it for a node, unless that was done within the hour."""
    with _LOCK:
        now = time.monotonic()
        if now - _last_told.get(key, -_SECONDS) < _SECONDS:
            return
        _last_told[key] = now
    message = text(key, **values)
    logger.warning("%s", message)
    PENDING.append(message)


def tell_about_folder(folder: Path) -> None:
    """Tell where a data folder lies badly: in a synchronized folder, or too deep for Windows."""
    for place in (folder.absolute(), folder.resolve()):
        if service := cloud_service(place):
            tell("disk.cloud_folder", folder=place, service=service)
    if os.name == "nt" and is_too_long_for_windows(folder.absolute()):
        tell("disk.long_path", folder=folder)


def cloud_service(folder: PurePath) -> str | None:
    """Return the service that synchronizes a folder, by the names of the folders it is in."""
    path = f"{folder.as_posix()}/".lower()
    return next((name for name, names in _SYNCHRONIZED.items() if names.search(path)), None)


def is_too_long_for_windows(folder: PurePath) -> bool:
    """Return whether files of ours in a data folder exceed what Windows takes by default."""
    return len(str(folder)) + 1 + LONGEST_BELOW > _LONGEST_ON_WINDOWS
