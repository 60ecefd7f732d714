"""Whose key it is."""

from decimal import Decimal
from typing import Any

import pytest
from comfyui_siliconflow.siliconflow.account import user_info
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.errors import BadAnswer, InvalidKey
from comfyui_siliconflow.simulator import Simulator


def test_the_balance_is_read_without_rounding() -> None:
    with Simulator(balance="88.10") as simulator:
        account = user_info(Client(simulator.key, simulator.base_url))
    assert account.balance == Decimal("88.10")
    assert account.name
    assert account.status == "normal"


def test_a_wrong_key_is_told_as_such(simulator: Simulator) -> None:
    with pytest.raises(InvalidKey):
        user_info(Client("sk-wrong", simulator.base_url))


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"data":{}}', b'{"data":{"totalBalance":"x"}}'])
def test_an_answer_without_an_account_is_an_error(serve: Any, answer: Any, body: bytes) -> None:
    with pytest.raises(BadAnswer):
        user_info(Client("sk", serve(answer(body=body)).address))
