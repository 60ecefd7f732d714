"""The spending guard: stops a run before its first request if it would break a limit.

Two runs that begin at once are judged one after the other, each counting what the other reserved.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal

from ..siliconflow.client import Client
from ..siliconflow.errors import GuardStopped
from ..storage.settings import Settings
from ..strings.text import text
from .balance import BALANCES
from .job import Job


class SpendingGuard:
    """Counts the images of each account in progress in this process, and judges runs by them."""

    def __init__(self) -> None:
        """Start with none in progress."""
        self._lock = threading.Lock()
        self._in_progress: Counter[str] = Counter()

    def reserve(
        self,
        settings: Settings,
        client: Client,
        jobs: Sequence[Job],
        count_unpaid: Callable[[Job], int],
        *,
        counts_images: bool,
    ) -> None:
        """Judge a run, and hold its images until each job is released.

        `count_unpaid` returns how many items a job would pay for. What makes no images is judged
        by the balance alone. Raises `GuardStopped` if a limit would be broken, and whatever asking
        for the balance raises: a limit that cannot be checked is not passed. One that nothing can
        check any more, because the service retired the call, is noted and stops nothing.
        """
        counts = [count_unpaid(job) for job in jobs]
        if not sum(counts):
            return
        try:
            if counts_images:
                self._hold(settings, jobs, counts)
            if settings.balance_floor:
                balance = BALANCES.ask(client)
                if balance is None:
                    jobs[0].note(text("run.balance_floor_retired"))
                else:
                    self._check_balance(settings, balance)
        except BaseException:
            self.release(settings, jobs)
            raise

    def release(self, settings: Settings, jobs: Sequence[Job]) -> None:
        """Let go of the images of jobs that are over, or were never started."""
        with self._lock:
            for job in jobs:
                self._in_progress[settings.account] -= job.reserved
                job.reserved = 0

    def _hold(self, settings: Settings, jobs: Sequence[Job], counts: Sequence[int]) -> None:
        account, limit = settings.account, settings.most_pictures
        with self._lock:
            total = self._in_progress[account] + sum(counts)
            if limit and total > limit:
                message = text("run.too_many_images", limit=limit, images=sum(counts), total=total)
                raise GuardStopped(message, "most_pictures")
            for job, count in zip(jobs, counts, strict=True):
                job.reserved = count
            self._in_progress[account] = total

    def _check_balance(self, settings: Settings, balance: Decimal) -> None:
        with self._lock:
            total = self._in_progress[settings.account]
        floor = Decimal(str(settings.balance_floor))
        left = balance - Decimal(str(settings.picture_price)) * total
        if left < floor:
            message = text("run.balance_floor", floor=floor, balance=balance, left=left, n=total)
            raise GuardStopped(message, "balance_floor")
