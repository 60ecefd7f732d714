"""The account: its balance, what pictures cost, and how many it may ask for in a minute."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .answers import Refused, answer_json, rate_limited
from .log import Charge

WINDOW = 60.0

PerModel = float | Mapping[str, float]


def for_model(setting: PerModel | None, model: str) -> float | None:
    """Read a setting that is one number, or a number per model where `*` stands for the rest."""
    if isinstance(setting, Mapping):
        return setting.get(model, setting.get("*"))
    return setting


@dataclass(frozen=True)
class Hold:
    """Pictures that were let in: their money is set aside until they are made or fail."""

    model: str
    pictures: int
    amount: Decimal


class Account:
    """One account. Safe to read and change from any thread."""

    def __init__(
        self,
        balance: Decimal,
        price: Decimal,
        ipm: PerModel | None,
        clock: Callable[[], float],
    ) -> None:
        """Open the account; `ipm` None means that no rate limit applies."""
        self.balance = balance
        self.price = price
        self.ipm = ipm
        self.charges: list[Charge] = []
        self._clock = clock
        self._held = Decimal(0)
        self._made: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def admit(self, model: str, pictures: int) -> Hold:
        """Let a request in, or refuse it: 403 without enough money, 429 above the rate limit."""
        with self._lock:
            amount = self.price * pictures
            if self.balance - self._held < amount:
                # A used-up balance shows as the bare string, not as an object with a code.
                raise Refused(answer_json(403, "Forbidden"))
            self._count(model, pictures)
            self._held += amount
        return Hold(model, pictures, amount)

    def _count(self, model: str, pictures: int) -> None:
        limit, now, made = for_model(self.ipm, model), self._clock(), self._made[model]
        while made and made[0] <= now - WINDOW:
            made.popleft()
        if limit is not None and len(made) + pictures > limit:
            raise Refused(rate_limited("IPM"))
        made.extend([now] * pictures)

    def charge(self, hold: Hold, trace_id: str) -> Charge:
        """Take the money for pictures that were made."""
        charge = Charge(trace_id, hold.model, hold.pictures, hold.amount)
        with self._lock:
            self._held -= hold.amount
            self.balance -= hold.amount
            self.charges.append(charge)
        return charge

    def release(self, hold: Hold) -> None:
        """Give back the money of pictures that were never made."""
        with self._lock:
            self._held -= hold.amount

    def info(self) -> dict[str, Any]:
        """Answer `GET /user/info` in the shape of siliconflow-2024.openapi.yaml.

        In its example the total is the sum of the other two: money given and money paid in.
        Here all of it was paid in.
        """
        total = show_amount(self.balance)
        data = {
            "id": "simulator",
            "name": "simulator",
            "image": "",
            "email": "",
            "isAdmin": False,
            "balance": show_amount(Decimal(0)),
            "status": "normal",
            "introduction": "",
            "role": "",
            "chargeBalance": total,
            "totalBalance": total,
        }
        return {"code": 20000, "message": "OK", "status": True, "data": data}


def show_amount(amount: Decimal) -> str:
    """Write an amount with at least two decimals, and never in exponents."""
    cents = Decimal("0.01")
    return f"{amount.quantize(cents) if amount == amount.quantize(cents) else amount:f}"
