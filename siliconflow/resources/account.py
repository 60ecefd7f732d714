"""`GET /user/info`: whose key it is and what is left on the account (the `2024` API document)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from ...strings.text import Text
from ..client import Client
from ..errors import BadAnswer, Failure

PATH = "user/info"
AMOUNTS = ("balance", "chargeBalance", "totalBalance")
"""The amounts of an account: given, paid in, and both together."""


@dataclass(frozen=True)
class Account:
    """The owner of a key. `balance` is the total, given and charged, in the account's currency.

    `amounts` holds each amount that the service tells, by its own name.
    """

    name: str
    status: str
    balance: Decimal
    amounts: Mapping[str, Decimal] = field(default_factory=dict)
    trace_id: str = ""


def user_info(client: Client) -> Account:
    """Ask who the key belongs to. Costs nothing. Raises a `RequestError` of the cause."""
    answer = client.get(PATH)
    data = answer.data.get("data") if isinstance(answer.data, dict) else None
    if not isinstance(data, dict):
        raise BadAnswer(
            Failure(Text("it names no account", "其中没有账户信息"), 200, trace_id=answer.trace_id)
        )
    amounts = {name: _amount(data[name]) for name in AMOUNTS if name in data}
    known = {name: amount for name, amount in amounts.items() if amount is not None}
    balance = _total(data, known)
    if balance is None:
        raise BadAnswer(
            Failure(Text("it names no balance", "其中没有余额"), 200, trace_id=answer.trace_id)
        )
    name = str(data.get("name") or data.get("id") or "")
    return Account(name, str(data.get("status") or ""), balance, known, answer.trace_id)


def _total(data: Mapping[str, Any], known: Mapping[str, Decimal]) -> Decimal | None:
    """Give the whole balance; a part of it is none, unless the service tells no more."""
    if data.get("totalBalance") is not None:
        return known.get("totalBalance")
    parts = [known[name] for name in AMOUNTS if name in known]
    return sum(parts, Decimal(0)) if parts else None


def _amount(value: object) -> Decimal | None:
    """Read an amount of money exactly as it is written."""
    written = str(value)
    try:
        amount = Decimal(written)
    except InvalidOperation:
        return None
    if "_" in written:  # Python's own way to write a number, no bank's
        return None
    return amount if amount.is_finite() else None
