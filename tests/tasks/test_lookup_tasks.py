"""What costs nothing: the account and its models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import retry as retries
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.tests.waiting import pack_threads, until

Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST", 0.001)


def test_the_balance_is_a_number_and_every_amount_is_reported_exactly(
    simulator: Simulator, outputs_of: Run
) -> None:
    simulator.balance = "88.10"
    outputs = outputs_of("SiliconFlowAccount", refresh=1)
    assert (outputs["balance"], outputs["status"]) == (88.1, "normal")
    assert outputs["info"]["totalBalance"] == "88.10"
    assert not {"email", "image"} & set(outputs["info"])


@pytest.mark.usefixtures("today")
def test_a_retired_account_call_is_reported_in_the_status_and_is_no_failure(
    outputs_of: Run,
) -> None:
    outputs = outputs_of("SiliconFlowAccount")
    assert outputs["balance"] == 0.0
    assert "SiliconFlow has retired the call" in outputs["status"]
    amounts = {"balance": None, "spent_today": "0", "spent_month": "0"}
    assert outputs["info"] == {"name": "", "status": outputs["status"], **amounts}


@pytest.mark.usefixtures("today")
def test_what_was_spent_today_and_this_month_is_reported(outputs_of: Run) -> None:
    image = {"model": "Qwen/Qwen-Image", "prompt": "a cat", "image_size": "custom"}
    for _ in range(2):
        outputs_of("SiliconFlowTextToImage", **image, width=64, height=64)
    outputs = outputs_of("SiliconFlowAccount")
    assert (outputs["spent_today"], outputs["spent_month"]) == (0.3, 0.3)
    assert outputs["info"]["spent_today"] == "0.3"


def test_models_are_listed_by_type_and_sub_type(simulator: Simulator, outputs_of: Run) -> None:
    every = outputs_of("SiliconFlowModels")["models"]
    chat = outputs_of("SiliconFlowModels", type="all", sub_type="chat")
    assert set(chat["models"]) < set(every)
    assert chat["text"].splitlines() == chat["models"]
    assert "Kwai-Kolors/Kolors" in every
    assert "Kwai-Kolors/Kolors" not in chat["models"]
    assert simulator.charges == []


@pytest.mark.parametrize(
    "node_id", ["SiliconFlowAccount", "SiliconFlowModels", "SiliconFlowVoices"]
)
def test_what_costs_nothing_is_requested_again_each_time(
    simulator: Simulator, outputs_of: Run, node_id: str
) -> None:
    """ComfyUI's own cache does not answer, although no input changes."""
    for _ in range(2):
        outputs_of(node_id)
    assert len(simulator.requests) == 2
    node: Any = NODE_CLASS_MAPPINGS[node_id]
    assert node.IS_CHANGED(refresh=0) != node.IS_CHANGED(refresh=0)
    assert node.INPUT_TYPES()["optional"]["refresh"][1]["hidden"]


@pytest.mark.usefixtures("simulator")
def test_a_wrong_key_is_an_error(outputs_of: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILICONFLOW_API_KEY", "sk-wrong")
    for node_id in ("SiliconFlowAccount", "SiliconFlowModels"):
        with pytest.raises(errors.InvalidKey):
            outputs_of(node_id)


@pytest.mark.parametrize("status", [429, 503])
def test_what_costs_nothing_is_sent_again_until_it_answers(
    simulator: Simulator, outputs_of: Run, status: int
) -> None:
    simulator.fail(status, times=2, on="info")
    assert outputs_of("SiliconFlowAccount")["status"] == "normal"
    assert [record.status for record in simulator.requests] == [status, status, 200]


def test_what_stays_refused_is_an_error(simulator: Simulator, outputs_of: Run) -> None:
    simulator.fail(503, times=99, on="models")
    with pytest.raises(errors.Overloaded):
        outputs_of("SiliconFlowModels")
    assert len(simulator.requests) == retries.TRIES


def test_nobody_waits_for_a_limit_that_lasts_for_hours(
    simulator: Simulator, outputs_of: Run
) -> None:
    simulator.fail(429, on="info", headers={"Retry-After": "3600"})
    with pytest.raises(errors.RateLimited):
        outputs_of("SiliconFlowAccount")


def test_an_error_of_what_costs_nothing_speaks_of_no_charge(
    simulator: Simulator, outputs_of: Run
) -> None:
    simulator.fail(500, on="info")
    with pytest.raises(errors.ServerError) as caught:
        outputs_of("SiliconFlowAccount")
    assert "This request is free" in str(caught.value)
    assert "may have been charged" not in str(caught.value)
    assert caught.value.charged is False


def test_a_cancelled_lookup_is_not_requested_again(simulator: Simulator) -> None:
    """Nobody waits for it any more: the wait before the next request ends at once."""
    simulator.fail(503, times=99, on="info", headers={"Retry-After": "0.5"})

    async def cancelled() -> None:
        node = asyncio.create_task(NODE_CLASS_MAPPINGS["SiliconFlowAccount"]().execute())
        await asyncio.to_thread(until, lambda: bool(simulator.requests))
        node.cancel()
        with pytest.raises(asyncio.CancelledError):
            await node

    asyncio.run(cancelled())
    until(lambda: not pack_threads())
    assert len(simulator.requests) == 1
