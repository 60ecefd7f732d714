"""The spending guard: stops a run before its first request if it would break a bound.

Two runs that begin at once are judged one after the other, each counting what the other reserved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal

from ..siliconflow.account import user_info
from ..siliconflow.client import Client
from ..siliconflow.errors import GuardStopped
from ..siliconflow.settings import Settings
from ..siliconflow.texts import Text


class Guard:
    """Knows what is under way in the whole process, and judges each run by it."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._lock = threading.Lock()
        self._under_way = 0

    def reserve(self, settings: Settings, client: Client, asked: Callable[[], int]) -> int:
        """Judge a run; give the pictures that it reserves, to be released when it ends.

        `asked` counts the pictures that would be paid; it is called only if a bound is set.
        Raises `GuardStopped` if a bound would be broken, and whatever asking for the balance
        raises: a bound that cannot be checked is not passed.
        """
        if not settings.most_pictures and not settings.balance_floor:
            return 0
        pictures = asked()
        with self._lock:
            total = self._under_way + pictures
            if pictures:
                _check_count(settings, pictures, total)
                _check_balance(settings, client, total)
            self._under_way = total
        return pictures

    def release(self, pictures: int) -> None:
        """Give back what a run reserved."""
        with self._lock:
            self._under_way -= pictures


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


def _check_balance(settings: Settings, client: Client, total: int) -> None:
    if not settings.balance_floor:
        return
    floor, price = Decimal(str(settings.balance_floor)), Decimal(str(settings.picture_price))
    balance = user_info(client).balance
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
