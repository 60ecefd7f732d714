"""`GET /user/info`: whose key it is and what is left on the account (the `2024` API document)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from .client import Client
from .errors import BadAnswer, Failure

PATH = "user/info"


@dataclass(frozen=True)
class Account:
    """The owner of a key. `balance` is the total, given and charged, in the account's currency."""

    name: str
    status: str
    balance: Decimal


def user_info(client: Client) -> Account:
    """Ask who the key belongs to. Costs nothing. Raises a `RequestError` of the cause."""
    answer = client.get(PATH)
    data = answer.data.get("data") if isinstance(answer.data, dict) else None
    if not isinstance(data, dict):
        raise BadAnswer(Failure("it names no account", 200, trace_id=answer.trace_id))
    total = data.get("totalBalance", data.get("balance"))
    try:
        balance = Decimal(str(total))
    except InvalidOperation:
        raise BadAnswer(Failure("it names no balance", 200, trace_id=answer.trace_id)) from None
    name = str(data.get("name") or data.get("id") or "")
    return Account(name, str(data.get("status", "")), balance)
