"""The spending guard: stops a run before its first request if it would break a bound.

Two runs that begin at once are judged one after the other, each counting what the other reserved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from decimal import Decimal

from ..siliconflow.client import Client
from ..siliconflow.errors import GuardStopped
from ..siliconflow.resources.account import user_info
from ..storage.settings import Settings
from ..strings.text import Text
from .job import Job


class SpendingGuard:
    """Knows what is under way in the whole process, and judges each run by it."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._lock = threading.Lock()
        self._under_way = 0

    def reserve(
        self,
        settings: Settings,
        client: Client,
        jobs: Sequence[Job],
        unpaid: Callable[[Job], int],
        *,
        pictures: bool = True,
    ) -> None:
        """Judge a run, and hold its pictures until each job is released.

        `unpaid` counts the pictures that a job would pay for; it is called only if a bound is
        set. What makes no `pictures` is judged by the balance alone. Raises `GuardStopped` if a
        bound would be broken, and whatever asking for the balance raises: a bound that cannot be
        checked is not passed.
        """
        if not settings.most_pictures and not settings.balance_floor:
            return
        wanted = [unpaid(job) for job in jobs]
        try:
            if sum(wanted):
                if pictures:
                    self._hold(settings, jobs, wanted)
                self._check_balance(settings, client)
        except BaseException:
            self.release_all(jobs)
            raise

    def release(self, job: Job) -> None:
        """Let go of a job's pictures: it is at its end, or was never begun."""
        with self._lock:
            self._under_way -= job.reserved
            job.reserved = 0

    def release_all(self, jobs: Sequence[Job]) -> None:
        """Let go of several jobs' pictures."""
        for job in jobs:
            self.release(job)

    def _hold(self, settings: Settings, jobs: Sequence[Job], wanted: Sequence[int]) -> None:
        with self._lock:
            _check_count(settings, sum(wanted), self._under_way + sum(wanted))
            for job, pictures in zip(jobs, wanted, strict=True):
                job.reserved = pictures
            self._under_way += sum(wanted)

    def _check_balance(self, settings: Settings, client: Client) -> None:
        """Ask for the balance, with no lock held, then judge by all that is under way."""
        if settings.balance_floor:
            balance = user_info(client).balance
            with self._lock:
                total = self._under_way
            _check_floor(settings, balance, total)


def _check_count(settings: Settings, pictures: int, total: int) -> None:
    most = settings.most_pictures
    if most and total > most:
        raise GuardStopped(
            Text(
                f"Stopped by most_pictures = {most} of the settings: this run asks for {pictures}"
                f" pictures, {total} with what is under way. Nothing was sent.",
                f"已被设置项 most_pictures = {most} 拦下：本次要生成 {pictures} 张，"
                f"连同进行中的共 {total} 张。请求没有发出。",
            )
        )


def _check_floor(settings: Settings, balance: Decimal, total: int) -> None:
    floor, price = Decimal(str(settings.balance_floor)), Decimal(str(settings.picture_price))
    left = balance - price * total
    if left < floor:
        raise GuardStopped(
            Text(
                f"Stopped by balance_floor = {floor} of the settings: the balance is {balance}, and"
                f" {left} would be left after {total} pictures. Nothing was sent.",
                f"已被设置项 balance_floor = {floor} 拦下：余额 {balance}，"
                f"生成 {total} 张后将剩 {left}。请求没有发出。",
            )
        )
