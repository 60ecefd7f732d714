"""`GET /user/info`: the owner of the key and the balance. Source: the `2024` API document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from ..client import Client, bad_answer
from ..http.bodies import read_object

PATH = "user/info"
AMOUNTS = ("balance", "chargeBalance", "totalBalance")
"""The amounts of an account: granted, topped up, and both together."""


@dataclass(frozen=True)
class Account:
    """The owner of a key. `balance` is the total in the account's currency.

    `amounts` holds each amount that the service returned, by its own name.
    """

    name: str
    status: str
    balance: Decimal
    amounts: Mapping[str, Decimal] = field(default_factory=dict)
    trace_id: str = ""


def user_info(client: Client) -> Account:
    """Return the account of the key. Free. Raises a `RequestError` of the cause."""
    response = client.get(PATH)
    data = read_object(response.data).get("data")
    if not isinstance(data, dict):
        raise bad_answer(response, "response.no_account")
    parsed = {name: _amount(data[name]) for name in AMOUNTS if name in data}
    amounts = {name: amount for name, amount in parsed.items() if amount is not None}
    balance = _total(data, amounts)
    if balance is None:
        raise bad_answer(response, "response.no_balance")
    name, status = data.get("name") or data.get("id") or "", data.get("status") or ""
    return Account(str(name), str(status), balance, amounts, response.trace_id)


def _total(data: Mapping[str, Any], amounts: Mapping[str, Decimal]) -> Decimal | None:
    """Return the total balance: the sum of its parts only where the service returned no total."""
    if data.get("totalBalance") is not None:
        return amounts.get("totalBalance")
    return sum(amounts.values(), Decimal(0)) if amounts else None


def _amount(value: object) -> Decimal | None:
    """Return an amount of money exactly as it is written; `None` if it is no finite number."""
    written = str(value)
    try:
        amount = Decimal(written)
    except InvalidOperation:
        return None
    if "_" in written:  # Python accepts underscores in numbers, no bank does
        return None
    return amount if amount.is_finite() else None
