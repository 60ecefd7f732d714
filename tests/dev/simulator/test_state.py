"""Control over HTTP, for a simulator that runs in another process."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator.models import read_table
from comfyui_siliconflow.dev.simulator.responses import BROKEN, PLACES

Generate = Callable[..., requests.Response]


def change(simulator: Simulator, **changes: Any) -> requests.Response:
    return requests.post(f"{simulator.origin}/_simulator/state", json=changes, timeout=20)


def read(simulator: Simulator) -> Any:
    return requests.get(f"{simulator.origin}/_simulator/state", timeout=20).json()


def test_the_state_shows_balance_and_charges(simulator: Simulator, generate: Generate) -> None:
    trace_id = generate(simulator).headers["x-siliconcloud-trace-id"]
    state = read(simulator)
    assert state["balance"] == "99.90"
    assert state["charges"] == [
        {"trace_id": trace_id, "model": "Kwai-Kolors/Kolors", "pictures": 1, "amount": "0.10"}
    ]


def test_the_state_shows_the_requests_with_images_described(
    simulator: Simulator, generate: Generate, red_square: str
) -> None:
    generate(simulator, image=red_square)
    (record,) = read(simulator)["requests"]
    assert (record["status"], record["pictures"], record["charged"]) == (200, 1, "0.10")
    assert record["body"]["prompt"] == "a lighthouse"
    assert record["body"]["image"].startswith("<PNG 320x320, ")


def test_the_body_in_memory_keeps_its_images_whole(
    simulator: Simulator, generate: Generate, red_square: str
) -> None:
    generate(simulator, image=red_square)
    read(simulator)
    assert simulator.requests[0].body["image"] == red_square


def test_reading_the_state_leaves_no_trace_in_it(simulator: Simulator) -> None:
    read(simulator)
    assert read(simulator)["requests"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency", 0.5),
        ("latency", {"*": 1, "Kwai-Kolors/Kolors": 2}),
        ("ipm", 2),
        ("ipm", {"*": 2}),
        ("ipm", None),
        ("rpm", 10),
        ("tpm", {"chat": 1000}),
        ("answer", "b64_json"),
    ],
)
def test_a_setting_can_be_changed(simulator: Simulator, name: str, value: Any) -> None:
    assert change(simulator, **{name: value}).status_code == 200
    assert getattr(simulator, name) == value
    assert read(simulator)[name] == value


@pytest.mark.parametrize("value", ["7.25", 7.25])
def test_money_can_be_changed(simulator: Simulator, value: Any) -> None:
    change(simulator, balance=value, price=value)
    assert (simulator.balance, simulator.price) == (Decimal("7.25"), Decimal("7.25"))


def test_a_broken_answer_can_be_requested(simulator: Simulator, generate: Generate) -> None:
    change(simulator, fail={"broken": "short"})
    assert not generate(simulator).text.endswith("}")
    assert len(simulator.charges) == 1


def test_a_model_of_another_kind_can_be_added(simulator: Simulator, chat: Generate) -> None:
    entry = {"schema": {"type": "object"}, "tasks": ["chat"], "traits": {"thinking": "always"}}
    change(simulator, add_model={"new/thinker": entry})
    message = chat(simulator, "x", model="new/thinker").json()["choices"][0]["message"]
    assert "reasoning_content" in message


def test_the_state_describes_an_image_within_a_conversation(
    simulator: Simulator, chat: Generate, red_square: str
) -> None:
    content = [{"type": "image_url", "image_url": {"url": red_square}}]
    chat(simulator, content, model="Qwen/Qwen3-VL-32B-Instruct")
    (record,) = read(simulator)["requests"]
    shown = record["body"]["messages"][0]["content"][0]["image_url"]["url"]
    assert shown.startswith("<PNG 320x320, ")


def test_the_lists_of_an_answer_can_be_changed(simulator: Simulator, generate: Generate) -> None:
    change(simulator, answer_lists=["data"])
    assert "images" not in generate(simulator).json()


def test_one_fault_can_be_requested(simulator: Simulator, generate: Generate) -> None:
    change(simulator, fail={"status": 429, "limit": "IPD", "headers": {"Retry-After": "1"}})
    answer = generate(simulator)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")


def test_several_faults_can_be_requested(simulator: Simulator, generate: Generate) -> None:
    change(simulator, fail=[{"status": 503, "times": 2}, {"status": 504, "made": True}])
    assert read(simulator)["faults_waiting"] == 3
    assert [generate(simulator).status_code for _ in range(4)] == [503, 503, 504, 200]


def test_a_model_can_be_added(simulator: Simulator, generate: Generate) -> None:
    change(simulator, add_model={"new/model": {"type": "object"}})
    assert generate(simulator, {"model": "new/model", "prompt": "x", "novel": 1}).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"latncy": 1},
        {"latency": -1},
        {"latency": "slow"},
        {"ipm": "many"},
        {"rpm": -1},
        {"tpm": {"chat": "many"}},
        {"call_price": "little"},
        {"voice_lists": ["voices"]},
        {"fail": {"broken": "sideways"}},
        {"fail": {"broken": "cut", "after": -1}},
        {"fail": {"on": "kitchen"}},
        {"balance": "lots"},
        {"answer": "fax"},
        {"answer_lists": ["pictures"]},
        {"fail": {"status": 99}},
        {"fail": {"satus": 503}},
        {"fail": {"times": 0}},
        {"add_model": {"new/model": {"type": "nonsense"}}},
    ],
)
def test_a_wrong_change_is_refused_and_changes_nothing(
    simulator: Simulator, changes: dict[str, Any]
) -> None:
    before = read(simulator)
    assert change(simulator, price="5", **changes).status_code == 400
    assert read(simulator) == before


def test_a_change_that_is_not_json_is_refused(simulator: Simulator) -> None:
    url = f"{simulator.origin}/_simulator/state"
    assert requests.post(url, data=b"{", timeout=20).status_code == 400


def test_every_place_and_every_way_to_break_can_be_named_over_http() -> None:
    one, _ = read_table("state")["actions"]["fail"]["anyOf"]
    assert set(one["properties"]["on"]["enum"]) == set(PLACES)
    assert set(one["properties"]["broken"]["enum"]) == {*BROKEN, None}
