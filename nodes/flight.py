"""What is under way in this process: identical requests share one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from .threads import settle

Result = TypeVar("Result")


class Flights(Generic[Result]):
    """Requests under way, by name. Safe for many threads."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._flying: dict[str, Future[Result]] = {}

    def has(self, name: str) -> bool:
        """Tell whether a request is under way."""
        with self._lock:
            return name in self._flying

    def share(self, name: str, work: Callable[[], Result]) -> tuple[Result, bool]:
        """Do `work`, or wait for who does it already: its result, and whether it was another's.

        Both get what it raises.
        """
        with self._lock:
            other = self._flying.get(name)
            future: Future[Result] = other or Future()
            self._flying[name] = future
        if other is None:
            try:
                settle(future, work)
            finally:
                with self._lock:
                    del self._flying[name]
        return future.result(), other is not None
