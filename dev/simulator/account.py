"""The account: its balance, what a call costs, and how much it may ask for in a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .answers import Refused, answer_json, rate_limited
from .limits import PerModel, Window, for_model
from .log import Charge

LIMITS = ("IPM", "RPM", "TPM")


@dataclass(frozen=True)
class Want:
    """What a call asks of the account: pictures, or a call of another kind with its tokens."""

    model: str
    kind: str
    pictures: int = 0
    tokens: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """What is counted against which limit; pictures have one of their own."""
        return {"IPM": self.pictures} if self.pictures else {"RPM": 1, "TPM": self.tokens}


@dataclass(frozen=True)
class Hold:
    """A call that was let in: its money is set aside until it is done or fails."""

    want: Want
    amount: Decimal


class Account:
    """One account. Safe to read and change from any thread."""

    def __init__(
        self,
        balance: Decimal,
        price: Decimal,
        call_price: Decimal,
        clock: Callable[[], float],
    ) -> None:
        """Open the account: no limit applies until `limits` holds one."""
        self.balance = balance
        self.price = price
        self.call_price = call_price
        self.limits: dict[str, PerModel | None] = dict.fromkeys(LIMITS)
        self.charges: list[Charge] = []
        self._held = Decimal(0)
        self._clock = clock
        self._windows = {name: Window() for name in LIMITS}
        self._lock = threading.Lock()

    def admit(self, want: Want) -> Hold:
        """Let a call in, or refuse it: 403 without enough money, 429 above a rate limit."""
        with self._lock:
            amount = self.price * want.pictures if want.pictures else self.call_price
            if self.balance - self._held < amount:
                # A used-up balance shows as the bare string, not as an object with a code.
                raise Refused(answer_json(403, "Forbidden"))
            self._count(want)
            self._held += amount
        return Hold(want, amount)

    def _count(self, want: Want) -> None:
        now = self._clock()
        for name, count in want.counts.items():
            limit = for_model(self.limits[name], want.model, want.kind)
            if not self._windows[name].has_room(want.model, count, limit, now):
                raise Refused(rate_limited(name))
        for name, count in want.counts.items():
            self._windows[name].add(want.model, count, now)

    def charge(self, hold: Hold, trace_id: str) -> Charge:
        """Take the money for what was made."""
        charge = Charge(trace_id, hold.want.model, hold.want.pictures, hold.amount)
        with self._lock:
            self._held -= hold.amount
            self.balance -= hold.amount
            self.charges.append(charge)
        return charge

    def release(self, hold: Hold) -> None:
        """Give back the money of what was never made."""
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
