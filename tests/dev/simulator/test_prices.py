"""What a request costs on a day, to the last digit."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator.models import Day, Models, Usage

Generate = Callable[..., requests.Response]

# Three in the morning in Beijing, and noon.
NIGHT, NOON = (
    1_800_000_000 - 1_800_000_000 % 86400 + 19 * 3600,
    1_800_000_000 // 86400 * 86400 + 4 * 3600,
)


@pytest.fixture
def today() -> Iterator[Simulator]:
    with Simulator(as_of="today", clock=lambda: NOON) as running:
        yield running


def cost(
    model: str, as_of: str = "today", now: float = NOON, site: str = "cn", **used: Any
) -> Decimal:
    return Models(Day(as_of, site)).all[model].cost(Usage(**used), now)


@pytest.mark.parametrize(
    ("site", "model", "amount"),
    [
        ("cn", "Kwai-Kolors/Kolors", "0"),
        ("cn", "Qwen/Qwen-Image", "0.3"),
        ("cn", "Tongyi-MAI/Z-Image-Turbo", "0.1"),
        ("com", "Tongyi-MAI/Z-Image-Turbo", "0.005"),
        ("com", "black-forest-labs/FLUX.1-schnell", "0.0014"),
        ("com", "black-forest-labs/FLUX.2-pro", "0.03"),
    ],
)
def test_an_image_has_the_price_of_its_model(site: str, model: str, amount: str) -> None:
    assert cost(model, site=site, images=1) == Decimal(amount)
    assert cost(model, site=site, images=3) == 3 * Decimal(amount)


@pytest.mark.parametrize(
    ("model", "tokens_in", "tokens_out", "amount"),
    [
        ("Qwen/Qwen3-8B", 1000, 1000, "0"),
        ("Qwen/Qwen2.5-72B-Instruct", 1, 1, "0.00000826"),
        ("Qwen/Qwen3-VL-32B-Instruct", 1000, 10, "0.00104"),
        ("Pro/zai-org/GLM-5.1", 31_999, 1000, "0.215994"),
        ("Pro/zai-org/GLM-5.1", 32_000, 1000, "0.284"),
        ("Qwen/Qwen3.5-27B", 127_999, 0, "0.0767994"),
        ("Qwen/Qwen3.5-27B", 128_000, 0, "0.2304"),
    ],
)
def test_tokens_are_charged_by_the_million_and_tier(
    model: str, tokens_in: int, tokens_out: int, amount: str
) -> None:
    assert cost(model, input_tokens=tokens_in, output_tokens=tokens_out) == Decimal(amount)


@pytest.mark.parametrize(
    ("as_of", "now", "amount"),
    [
        ("2026-09-23", NOON, "3"),
        ("2026-09-23", NIGHT, "3"),
        ("2026-09-24", NOON, "12"),
        ("2026-09-24", NIGHT, "6"),
    ],
)
def test_a_price_may_change_with_the_day_and_the_hour(as_of: str, now: int, amount: str) -> None:
    used: dict[str, Any] = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
    assert cost("deepseek-ai/DeepSeek-V4-Flash", as_of, now, **used) == Decimal(amount)


def test_tokens_of_images_have_a_price_of_their_own() -> None:
    assert cost("Qwen/Qwen3-VL-Embedding-8B", input_tokens=10, image_tokens=100) == Decimal(
        "0.000187"
    )


def test_a_free_model_that_hears_costs_nothing() -> None:
    assert cost("FunAudioLLM/SenseVoiceSmall", output_tokens=500) == 0


def test_speech_is_charged_by_the_byte(today: Simulator, post: Generate) -> None:
    model, text = "FunAudioLLM/CosyVoice2-0.5B", "灯塔 A"
    post(today, "/audio/speech", {"model": model, "input": text, "voice": f"{model}:anna"})
    assert today.charges[0].amount == Decimal("0.0004")


def test_a_conversation_is_charged_by_its_usage(today: Simulator, chat: Generate) -> None:
    usage = chat(today, "Hello", model="Qwen/Qwen3-32B").json()["usage"]
    amount = Decimal(usage["prompt_tokens"]) + 4 * Decimal(usage["completion_tokens"])
    assert today.charges[0].amount == amount / 1_000_000 > 0
    assert today.balance == 100 - today.charges[0].amount


def test_vectors_are_charged_by_their_tokens(today: Simulator, post: Generate) -> None:
    body = {"model": "Qwen/Qwen3-Embedding-8B", "input": ["one", "two"]}
    used = post(today, "/embeddings", body).json()["usage"]["total_tokens"]
    assert today.charges[0].amount == used * Decimal("0.28") / 1_000_000 > 0


def test_the_state_says_what_was_charged(today: Simulator, generate: Generate) -> None:
    generate(today, {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"})
    state = requests.get(f"{today.origin}/_simulator/state", timeout=20).json()
    (charge,), (record,) = state["charges"], state["requests"]
    assert Decimal(charge["amount"]) == Decimal(record["charged"]) == Decimal("0.3")
    assert Decimal(state["balance"]) == Decimal("99.7")


@pytest.mark.parametrize("as_of", ["today", "ever"])
def test_a_price_that_is_given_is_that_of_every_image(as_of: str, generate: Generate) -> None:
    with Simulator(as_of=as_of, price="0.5") as simulator:
        generate(simulator, {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"})
        assert simulator.charges[0].amount == Decimal("0.5")


def test_a_price_can_be_given_back_to_the_list(today: Simulator, generate: Generate) -> None:
    body: dict[str, Any] = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
    for price in ("2", None):
        url = f"{today.origin}/_simulator/state"
        assert requests.post(url, json={"price": price}, timeout=20).status_code == 200
        generate(today, body)
    assert [charge.amount for charge in today.charges] == [Decimal(2), Decimal("0.3")]


def test_the_last_of_the_money_can_be_spent_to_the_last_digit(
    today: Simulator, chat: Generate
) -> None:
    chat(today, "Hello", model="Qwen/Qwen3-32B")
    amount = today.charges[0].amount
    today.balance = amount
    chat(today, "Hello", model="Qwen/Qwen3-32B")
    assert today.balance == 0
    assert chat(today, "Hello", model="Qwen/Qwen3-32B").json()["code"] == 30001
