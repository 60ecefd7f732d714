"""What a user should know about the disk: in the console and on the next node that runs.

Each sentence at most once an hour, for a fault of the disk would otherwise be told with every file.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from ..strings.text import Text, text

PENDING: deque[Text] = deque(maxlen=8)
"""What no node has shown yet."""
_SECONDS = 3600.0
_LOGGER = logging.getLogger("siliconflow")
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
    _LOGGER.warning("%s", message)
    PENDING.append(message)
