"""The pictures handed out by URL, for one hour (siliconflow-images.openapi.yaml)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .answers import Answer, Refused, answer_text

HOUR = 3600.0


@dataclass
class Shelf:
    """Pictures by name, each until its hour is over."""

    clock: Callable[[], float]
    _pictures: dict[str, tuple[float, Answer]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, name: str, content: bytes, media_type: str) -> None:
        """Keep a picture for an hour, and drop those whose hour is long over."""
        now = self.clock()
        with self._lock:
            for old in [name for name, (end, _) in self._pictures.items() if now > end + HOUR]:
                del self._pictures[old]
            self._pictures[name] = (now + HOUR, Answer(200, content, media_type))

    def get(self, name: str) -> Answer:
        """Return a picture; 403 once its hour is over, 404 for a name never given out."""
        with self._lock:
            end, answer = self._pictures.get(name, (0.0, None))
        if answer is None:
            raise Refused(answer_text(404, "No such picture"))
        if self.clock() >= end:
            raise Refused(answer_text(403, "This URL has expired"))
        return answer
