"""The spending guard: stops a run before its first request if it would break a limit.

Two runs that begin at once are judged one after the other, each counting what the other reserved.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal

from ..siliconflow.client import Client
from ..siliconflow.errors import GuardStopped
from ..storage.accounts import account_id
from ..storage.settings import Settings
from ..strings.text import text
from .balance import BALANCES
from .job import Job


class SpendingGuard:
    """Counts the images of one account in progress in this process, and judges runs by them."""

    def __init__(self) -> None:
        """Start with none in progress."""
        self._lock = threading.Lock()
        self._in_progress = 0

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
                self._hold(settings.most_pictures, jobs, counts)
            if settings.balance_floor:
                balance = BALANCES.ask(client)
                if balance is None:
                    jobs[0].note(text("run.balance_floor_retired"))
                else:
                    self._check_balance(settings, balance)
        except BaseException:
            self.release(jobs)
            raise

    def release(self, jobs: Sequence[Job]) -> None:
        """Let go of the images of jobs that are over, or were never started."""
        with self._lock:
            for job in jobs:
                self._in_progress -= job.reserved
                job.reserved = 0

    def _hold(self, limit: int, jobs: Sequence[Job], counts: Sequence[int]) -> None:
        with self._lock:
            total = self._in_progress + sum(counts)
            if limit and total > limit:
                raise GuardStopped(
                    text("run.too_many_images", limit=limit, images=sum(counts), total=total)
                )
            for job, count in zip(jobs, counts, strict=True):
                job.reserved = count
            self._in_progress = total

    def _check_balance(self, settings: Settings, balance: Decimal) -> None:
        with self._lock:
            total = self._in_progress
        floor = Decimal(str(settings.balance_floor))
        left = balance - Decimal(str(settings.picture_price)) * total
        if left < floor:
            raise GuardStopped(
                text("run.balance_floor", floor=floor, balance=balance, left=left, n=total)
            )


_GUARDS: defaultdict[str, SpendingGuard] = defaultdict(SpendingGuard)
_LOCK = threading.Lock()


def guard_for(settings: Settings) -> SpendingGuard:
    """Return the guard of the account in use: what another one pays for is none of its business."""
    with _LOCK:
        return _GUARDS[account_id(settings.require_key(), settings.base_url)]
