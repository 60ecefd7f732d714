"""What is under way in this process: identical requests share one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from .threads import settle

Result = TypeVar("Result")
News = TypeVar("News")


class SingleFlight(Generic[Result, News]):
    """Requests under way, by name, with the news of each. Safe for many threads."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._flying: dict[str, tuple[Future[Result], News]] = {}

    def has(self, name: str) -> bool:
        """Tell whether a request is under way."""
        with self._lock:
            return name in self._flying

    def share(
        self, name: str, work: Callable[[], Result], news: News, join: Callable[[News], None]
    ) -> tuple[Result, bool]:
        """Do `work`, or wait for who does it already: its result, and whether it was another's.

        Both get what it raises. Who waits may `join` the news of who works.
        """
        own: Future[Result] = Future()
        with self._lock:
            future, heard = self._flying.setdefault(name, (own, news))
        if future is not own:
            join(heard)
            return future.result(), True
        try:
            settle(own, work)
        finally:
            with self._lock:
                del self._flying[name]
        return own.result(), False
