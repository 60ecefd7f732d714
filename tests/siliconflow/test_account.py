"""Whose key it is."""

import json
from decimal import Decimal
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.errors import BadAnswer, InvalidKey
from comfyui_siliconflow.siliconflow.resources.account import user_info


def test_the_balance_is_read_without_rounding() -> None:
    with Simulator(balance="88.10") as simulator:
        account = user_info(Client(simulator.key, simulator.base_url))
    assert account.balance == Decimal("88.10")
    assert account.name
    assert account.status == "normal"


def test_a_wrong_key_is_reported_as_such(simulator: Simulator) -> None:
    with pytest.raises(InvalidKey):
        user_info(Client("sk-wrong", simulator.base_url))


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"data":{}}', b'{"data":{"totalBalance":"x"}}'])
def test_an_answer_without_an_account_is_an_error(serve: Any, answer: Any, body: bytes) -> None:
    with pytest.raises(BadAnswer):
        user_info(Client("sk", serve(answer(body=body)).address))


def test_what_the_service_says_in_place_of_an_account_is_reported(serve: Any, answer: Any) -> None:
    body = b'{"code": 50505, "message": "Model service overloaded.", "data": null}'
    with pytest.raises(BadAnswer, match="SiliconFlow says: Model service overloaded") as caught:
        user_info(Client("sk", serve(answer(body=body)).address))
    assert caught.value.failure.code == 50505


def test_a_state_that_is_not_given_is_empty(serve: Any, answer: Any) -> None:
    body = b'{"code": 20000, "message": "OK", "data": {"totalBalance": "1", "status": null}}'
    assert user_info(Client("sk", serve(answer(body=body)).address)).status == ""


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        ({"balance": "0.88", "chargeBalance": "1000.00"}, "1000.88"),
        ({"balance": "0.88"}, "0.88"),
        ({"balance": "0.88", "totalBalance": None}, "0.88"),
    ],
)
def test_a_total_that_is_not_given_is_the_sum_of_its_parts(
    serve: Any, answer: Any, amounts: dict[str, Any], total: str
) -> None:
    body = json.dumps({"data": amounts}).encode()
    assert user_info(Client("sk", serve(answer(body=body)).address)).balance == Decimal(total)


def test_a_total_that_cannot_be_read_is_no_reason_to_take_a_part(serve: Any, answer: Any) -> None:
    body = b'{"data":{"balance":"0.88","chargeBalance":"1000.00","totalBalance":"1,000.88"}}'
    with pytest.raises(BadAnswer):
        user_info(Client("sk", serve(answer(body=body)).address))


def test_every_amount_is_kept_exactly(serve: Any, answer: Any) -> None:
    body = b'{"data":{"balance":"0.10","chargeBalance":"88.00","totalBalance":"88.10"}}'
    account = user_info(Client("sk", serve(answer(body=body)).address))
    assert account.balance == Decimal("88.10")
    assert list(map(str, account.amounts.values())) == ["0.10", "88.00", "88.10"]


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-sNaN", "", "1_0"])
def test_an_amount_that_is_no_number_is_no_balance(serve: Any, answer: Any, amount: str) -> None:
    body = b'{"data":{"totalBalance":"%s"}}' % amount.encode()
    with pytest.raises(BadAnswer):
        user_info(Client("sk", serve(answer(body=body)).address))
