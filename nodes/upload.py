"""The input pictures of one run as data URLs."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial

from ..media.images import tensor_to_data_url
from .plan import Plan
from .threads import settle


class DataUrls:
    """Each frame is encoded once, when it is first wanted, however many requests send it."""

    def __init__(self, plan: Plan) -> None:
        """Encode nothing yet."""
        self._plan = plan
        self._lock = threading.Lock()
        self._made: dict[tuple[str, int], Future[str]] = {}

    def of_frame(self, frame: int) -> dict[str, str]:
        """Give the pictures that go with input frame `frame`, by wire name."""
        return {
            wire: self._once(wire, min(frame, images.shape[0] - 1))
            for wire, images in self._plan.pictures.items()
        }

    def _once(self, wire: str, frame: int) -> str:
        with self._lock:
            known = self._made.get((wire, frame))
            future = self._made.setdefault((wire, frame), Future())
        if known is None:
            settle(future, partial(self._encoded, wire, frame))
        return future.result()

    def _encoded(self, wire: str, frame: int) -> str:
        return tensor_to_data_url(self._plan.pictures[wire][frame], self._plan.model.upload)
